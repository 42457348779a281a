//! What holds where nobody says otherwise.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use isochrone_portal::client_address::ForwardedHeader;
use isochrone_portal::cors::AllowedOrigin;

use super::Config;
use super::portal::RealPortal;
use super::secrets::Secrets;
use super::sections::{
    Admin, Amqp, Artifacts, Clock, Guarded, Http, Https, Items, Limits, Log, LogFormat, OAuth, Redis,
    RemoteNotebooks, Retention, SceneCooking, Worker, WorkflowManager,
};

impl Default for Config {
    fn default() -> Self {
        Config {
            data_dir: PathBuf::from("isochrone-data"),
            admin_password: None,
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 7080)),
                insecure: false,
                context: "portal".to_owned(),
                public_url: None,
                redirect_uris: Vec::new(),
                allowed_origins: vec![AllowedOrigin::Any],
                trusted_proxies: Vec::new(),
                forwarded_header: ForwardedHeader::Auto,
                max_connections: 0,
                max_connections_per_address: 0,
            },
            https: Https {
                listen: SocketAddr::from(([127, 0, 0, 1], 7443)),
                cert_file: None,
                key_file: None,
            },
            oauth: OAuth { without_pkce: Vec::new() },
            admin: Admin { listen: SocketAddr::from(([127, 0, 0, 1], 9600)), token: None },
            portal: RealPortal {
                url: None,
                ca_file: None,
                insecure_tls: false,
                user: None,
                password: None,
                client_id: None,
                client_secret: None,
                api_key: None,
                cache_seconds: 30,
            },
            secrets: Secrets::default(),
            egress: Guarded { servers: Vec::new(), open: false, ca_file: None },
            scene_cook: SceneCooking { server: None },
            workflow_manager: WorkflowManager { server: None },
            notebook_server: RemoteNotebooks { server: None },
            http_jobs: BTreeMap::new(),
            redis: Redis {
                url: None,
                ca_file: None,
                prefix: "isochrone".to_owned(),
                allow_weak_durability: false,
            },
            amqp: Amqp { url: None, ca_file: None },
            artifacts: Artifacts { dir: None },
            log: Log { filter: "info".to_owned(), format: LogFormat::Auto },
            worker: Worker {
                types: Vec::new(),
                slots: 128,
                notebook_slots: 0,
                drain_seconds: 20,
                lease_seconds: 15,
                suspend_max_seconds: 600,
                drill_url: None,
            },
            retention: Retention { runs_per_task: 1_000, run_days: 90, record_days: 400 },
            notebook: isochrone_executors::notebook::Config::default(),
            // What ArcGIS Enterprise documents.
            limits: Limits {
                strict_cron: false,
                active_tasks_per_user: 0,
                notebook_tasks_per_user: 20,
                notebook_tasks: 200,
                insights_tasks_per_user: 20,
                insights_tasks: 50,
                consecutive_failures: 5,
            },
            items: Items { per_user: 1_000, mib_per_user: 1_024, total: 20_000, total_mib: 10_240 },
            clock: Clock { speed: 1, origin: 0 },
        }
    }
}
