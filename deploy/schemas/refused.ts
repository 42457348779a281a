// What the types must refuse. A line that passes is an error: a package whose types are lost would let everything pass.

import type { IScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import type { IPrometheusRule, IServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

import type { Dashboard, Row, Stat, Timeseries } from "./dashboard";

// @ts-expect-error
export const field: Partial<Dashboard> = { tag: ["isochrone"] };
// @ts-expect-error
export const type: Partial<Dashboard> = { refresh: 30 };
// @ts-expect-error
export const number: Partial<Dashboard> = { graphTooltip: 3 };
// @ts-expect-error
export const row: Partial<Row> = { colapsed: false };
// @ts-expect-error
export const option: Partial<Stat["options"]> = { colourMode: "value" };
// @ts-expect-error
export const value: Partial<Stat["options"]> = { colorMode: "foreground" };
// @ts-expect-error
export const reduced: Partial<Stat["options"]> = { reduceOptions: { calcs: "lastNotNull" } };
// @ts-expect-error
export const unit: Stat["fieldConfig"]["defaults"] = { unit: "secs" };
// @ts-expect-error
export const custom: Stat["fieldConfig"]["defaults"] = { custom: { lineWidth: 1 } };
// @ts-expect-error
export const line: Timeseries["fieldConfig"]["defaults"] = { custom: { drawStyle: "lines" } };
// @ts-expect-error
export const tooltip: Partial<Timeseries["options"]> = { tooltip: { mode: "multi", sort: "desc", order: "desc" } };
// @ts-expect-error
export const target: Timeseries["targets"][number] = { refId: "A", query: "up" };
// @ts-expect-error
export const variable: NonNullable<NonNullable<Dashboard["templating"]>["list"]>[number] = { name: "type", type: "list" };

// @ts-expect-error
export const endpoint: IServiceMonitor["spec"]["endpoints"][number] = { intervall: "30s" };
// @ts-expect-error
export const selector: IServiceMonitor["spec"]["selector"] = { matchLabel: {} };
// @ts-expect-error
export const group: NonNullable<IPrometheusRule["spec"]["groups"]>[number] = { name: "a", rules: [{ expr: "up", annotation: {} }] };
// @ts-expect-error
export const fallback: IScaledObject["spec"]["fallback"] = { failureThreshold: 4, replicas: 1, behaviour: "static" };
// @ts-expect-error
export const trigger: IScaledObject["spec"]["triggers"][number] = { type: "prometheus", metadata: { threshold: 1 } };
