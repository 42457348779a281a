// A dashboard as Grafana's schema has it, of the panels that generate.py makes. Where the schema leaves a plugin's part open
// (options, custom, targets), the plugin's own type stands. A unit may be only one that Grafana lists.

import type { Dataquery } from "@grafana/grafana-foundation-sdk/prometheus";
import type * as units from "@grafana/grafana-foundation-sdk/units";
import type * as stat from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts";
import type * as timeseries from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts";
import type * as schema from "@grafana/schema/dist/types/raw/dashboard/x/dashboard_types.gen.d.ts";

/** In JSON an enum of strings is a string. */
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

interface FieldConfig<Custom> extends Omit<schema.FieldConfig, "custom" | "unit"> {
  custom?: Custom;
  unit?: (typeof units)[keyof typeof units];
}

interface Panel<Type, Options, Custom> extends Omit<schema.Panel, "type" | "options" | "fieldConfig" | "targets"> {
  type: Type;
  options: Options;
  fieldConfig: Omit<schema.FieldConfigSource, "defaults"> & { defaults: FieldConfig<Custom> };
  targets: Omit<Dataquery, "_implementsDataqueryVariant">[];
}

export type Row = Json<schema.RowPanel>;
export type Stat = Json<Panel<"stat", stat.Options, never>>;
export type Timeseries = Json<Panel<"timeseries", timeseries.Options, timeseries.FieldConfig>>;
export type Dashboard = Json<Omit<schema.Dashboard, "panels">> & { panels: (Row | Stat | Timeseries)[] };
