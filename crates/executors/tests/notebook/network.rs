//! What a notebook's network lets through, and what not. All servers are on this machine's loopback.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use isochrone_domain::{AttemptEnd, Reason};
use isochrone_executors::notebook::{Destination, Isolation, Isolator, Lookup, Network, NetworkTier};

use crate::bench::{Bench, Outcome, environment};

/// A server that greets, answers one line over HTTP, and counts who came.
struct Greeter {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Greeter {
    /// Says `greeting` to whoever connects.
    fn raw(greeting: &'static str) -> Greeter {
        Greeter::start(move |stream| stream.write_all(greeting.as_bytes()))
    }

    /// The same, on a port below those that are given to whoever asks for any.
    fn below(greeting: &'static str) -> Greeter {
        let free = (20_000..30_000).find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        Greeter::on(free.expect("a free port"), move |stream| stream.write_all(greeting.as_bytes()))
    }

    /// Answers one request of HTTP with its first line and its `Host`.
    fn http() -> Greeter {
        Greeter::start(|stream| {
            let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let length = stream.read(&mut bytes)?;
                if length == 0 {
                    return Ok(());
                }
                head.extend_from_slice(&bytes[..length]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let host = head.lines().find(|line| line.to_lowercase().starts_with("host:")).unwrap_or_default();
            let body = format!("{} | {}", head.lines().next().unwrap_or_default(), host.to_lowercase());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        })
    }

    fn start(answer: impl Fn(&mut std::net::TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Greeter {
        Greeter::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), answer)
    }

    fn on(
        listener: TcpListener,
        answer: impl Fn(&mut std::net::TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Greeter {
        let answer = Arc::new(answer);
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || stream.and_then(|mut stream| answer(&mut stream)));
            }
        });
        Greeter { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Knows every name that it was told, and how often each was asked for.
#[derive(Default)]
struct Known {
    names: BTreeMap<&'static str, &'static str>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Lookup for Known {
    async fn addresses(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        match self.names.get(name) {
            Some(ip) => Ok(vec![SocketAddr::new(ip.parse().unwrap(), port)]),
            None => Err(io::Error::other("no such name")),
        }
    }
}

/// Functions for the notebooks of these tests.
const CLIENTS: &str = "import http.client, os, socket, urllib.error, urllib.request\n\
    PROXY = os.environ.get('http_proxy', '').removeprefix('http://')\n\
    def raw(host, port):\n    \
        try:\n        \
            with socket.create_connection((host, port), 20) as connection:\n            \
                return connection.recv(100).decode() or 'closed'\n    \
        except OSError as error: return f'refused {type(error).__name__}'\n\
    def tunnel(host, port):\n    \
        connection = socket.create_connection(PROXY.split(':'), 20)\n    \
        connection.sendall(f'CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: close\\r\\n\\r\\n'.encode())\n    \
        answer = b''\n    \
        while more := connection.recv(1000): answer += more\n    \
        return answer.decode().split('\\r\\n')[0] + ' ... ' + answer.decode().split('\\r\\n\\r\\n')[-1].strip()\n\
    def get(url, **proxies):\n    \
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(*proxies.values()))\n    \
        try:\n        return opener.open(url, timeout=20).read().decode()\n    \
        except urllib.error.HTTPError as error: return f'{error.code} {error.read().decode()}'\n    \
        except OSError as error: return f'failed {error}'\n\
    def tell(what, found): print(f'{what}: {found}', flush=True)\n";

fn said<'a>(outcome: &'a Outcome, what: &str) -> &'a str {
    let start = format!("{what}: ");
    let found = outcome.log.iter().find_map(|(_, line)| line.strip_prefix(&*start));
    found.unwrap_or_else(|| panic!("it did not say {what}: {:?} {:?}", outcome.log, outcome.end))
}

#[tokio::test]
async fn a_guarded_notebook_reaches_what_is_listed_and_nothing_else() {
    let (web, database, by_address) = (Greeter::http(), Greeter::raw("database"), Greeter::raw("by address"));
    let (unlisted, store) = (Greeter::raw("unlisted"), Greeter::raw("store"));
    let names = [
        ("gis.example.com", "127.0.0.1"),
        ("db.example.com", "127.0.0.1"),
        ("inward.example.com", "127.0.0.1"),
        ("mapped.example.com", "::ffff:127.0.0.1"),
        ("metadata.example.com", "169.254.169.254"),
    ];
    let known = Arc::new(Known { names: names.into(), ..Known::default() });
    let source = format!(
        "WEB, DATABASE, ADDRESS, UNLISTED, STORE = {}, {}, {}, {}, {}\n",
        web.port, database.port, by_address.port, unlisted.port, store.port
    ) + CLIENTS
        + "tell('proxied', get(f'http://gis.example.com:{WEB}/a?b=c'))\n\
           tell('direct', get(f'http://gis.example.com:{WEB}/d', none={}))\n\
           tell('database', raw('db.example.com', DATABASE))\n\
           tell('tunnel', tunnel('db.example.com', DATABASE))\n\
           tell('address', raw('127.0.0.1', ADDRESS))\n\
           tell('unlisted', raw('127.0.0.1', UNLISTED))\n\
           tell('store', raw('127.0.0.1', STORE))\n\
           tell('unlisted name', raw('inward.example.com', DATABASE))\n\
           tell('web page', get('http://10.1.2.3/'))\n\
           tell('metadata', get('http://169.254.169.254/latest/meta-data/'))\n\
           for number, (host, port) in enumerate([('10.0.0.1', 80), ('169.254.169.254', 80), ('[::1]', UNLISTED),\n    \
               ('2130706433', UNLISTED), ('0x7f.1', UNLISTED), ('0177.0.0.1', UNLISTED), ('127.1', UNLISTED),\n    \
               ('localhost', UNLISTED), ('LOCALHOST.', UNLISTED), ('[::ffff:127.0.0.1]', UNLISTED),\n    \
               ('[::ffff:7f00:1]', UNLISTED), ('[64:ff9b::7f00:1]', 80), ('[2002:7f00:1::]', 80), ('0.0.0.0', UNLISTED),\n    \
               ('100.64.0.1', 80), ('224.0.0.1', 80), ('inward.example.com', 443), ('mapped.example.com', 443),\n    \
               ('metadata.example.com', 80), ('gis.example.com', 443), ('redis', 6379), ('127.0.0.1', STORE)]):\n    \
               tell(f'trick {number}', tunnel(host, port))\n\
           print('tricks', number + 1)";
    let mut bench = Bench::cells(&[&source]).isolated(Isolation::Bwrap);
    bench.config.network = Network::Guarded;
    bench.config.reach = [
        format!("tcp://db.example.com:{}", database.port),
        format!("tcp://127.0.0.1:{}", by_address.port),
        // Not even then.
        format!("tcp://127.0.0.1:{}", store.port),
    ]
    .map(|reach| reach.parse().unwrap())
    .into();
    bench.servers = vec![format!("http://gis.example.com:{}/server", web.port)];
    bench.own = Destination::of_servers(&format!("redis://:secret@127.0.0.1:{}/0", store.port));
    bench.lookup = Some(known.clone());
    let outcome = bench.run().await;
    println!("{:#?}", outcome.log);
    outcome.result();

    let host = format!("host: gis.example.com:{}", web.port);
    assert_eq!(said(&outcome, "proxied"), format!("GET /a?b=c HTTP/1.1 | {host}"));
    assert_eq!(said(&outcome, "direct"), format!("GET /d HTTP/1.1 | {host}"));
    assert_eq!(said(&outcome, "database"), "database");
    assert_eq!(said(&outcome, "tunnel"), "HTTP/1.1 200 OK ... database");
    assert_eq!(said(&outcome, "address"), "by address");
    assert_eq!(said(&outcome, "unlisted"), "refused ConnectionRefusedError");
    let logged = |part: &str| outcome.log.iter().any(|(_, line)| line.contains(part));
    let setting = format!("127.0.0.1:{0} is not in [notebook] reach: add tcp://127.0.0.1:{0}", unlisted.port);
    assert!(logged(&setting), "{setting}");
    for closed in ["store", "unlisted name"] {
        assert!(matches!(said(&outcome, closed), "closed" | "refused ConnectionResetError"), "{closed}");
    }
    assert!(logged("Isochrone's own store"), "the run's log says why");
    assert!(
        said(&outcome, "web page")
            .starts_with("403 10.1.2.3:80 is not in [notebook] reach: add tcp://10.1.2.3:80")
    );
    assert!(said(&outcome, "metadata").starts_with("403 169.254.169.254:80 is not in [notebook] reach"));
    for number in 0..22 {
        let told = said(&outcome, &format!("trick {number}"));
        assert!(told.starts_with("HTTP/1.1 403 "), "{number}: {told}");
        assert!(told.contains("[notebook] reach: add tcp://") || told.contains("Isochrone's own"), "{told}");
    }
    assert_eq!((unlisted.connections(), store.connections()), (0, 0));
    // One look at each name for each connection: what was looked at is what was connected to.
    let asked = known.asked.lock().unwrap().iter().filter(|name| *name == "db.example.com").count();
    assert_eq!((asked, database.connections()), (2, 2));
}

#[tokio::test]
async fn a_guarded_network_is_found_and_told() {
    let python = environment().ready().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let network = async |isolation, network| {
        let config = isochrone_executors::notebook::Config { isolation, network, ..Default::default() };
        let found = Isolator::new(folder.path(), &config).network(&python).await;
        found.map(|found| (found.tier, found.lacks)).map_err(|error| error.to_string())
    };
    let found = |tier| Ok((tier, Vec::new()));
    assert_eq!(network(Isolation::Auto, Network::Auto).await, found(NetworkTier::Guarded));
    assert_eq!(network(Isolation::Bwrap, Network::None).await, found(NetworkTier::None));
    assert_eq!(network(Isolation::Auto, Network::Open).await, found(NetworkTier::Open));
    assert_eq!(network(Isolation::Landlock, Network::Auto).await, found(NetworkTier::Ports));
    assert_eq!(network(Isolation::None, Network::Auto).await, found(NetworkTier::Open));
    for isolation in [Isolation::Landlock, Isolation::None] {
        for wanted in [Network::Guarded, Network::None] {
            let error = network(isolation, wanted).await.unwrap_err();
            assert!(error.contains(&format!("[notebook] network = \"{wanted}\"")), "{error}");
        }
    }
    let mut bench = Bench::cells(&["1"]).isolated(Isolation::Landlock);
    bench.config.network = Network::Guarded;
    match bench.run().await.end {
        AttemptEnd::SubmitFailed { reason: Reason::BackendNotConfigured, result } => {
            assert!(result.contains("[notebook] network"), "{result}");
        }
        other => panic!("{other:?}"),
    }
}

/// Prints what became of each socket.
const SOCKETS: &str = "import socket\n\
    def made(*kind):\n    \
        try: socket.socket(*kind).close()\n    \
        except OSError: return 'refused'\n    \
        return 'could'\n\
    OTHERS = dict(vsock=(40, 1), packet=(17, 3), old_packet=(2, 10), bluetooth=(31, 1, 3), kernel_crypto=(38, 5),\n    \
        smc=(43, 1), tipc=(30, 1), can=(29, 3, 1), xdp=(44, 3), qrtr=(42, 2), rds=(21, 5), nfc=(39, 1), vsock6=(40, 5),\n    \
        pppox=(24, 2), key=(15, 3, 2), mctp=(45, 2), mptcp=(2, 1, 262), mptcp6=(10, 1, 262), sctp=(2, 1, 132),\n    \
        sctp_packets=(2, 5), sctp6=(10, 5, 132), dccp=(2, 6, 33), raw=(2, 3, 1), raw6=(10, 3, 58),\n    \
        raw_flags=(2, 3 | socket.SOCK_CLOEXEC, 1), udp_lite=(2, 2, 136), audit=(16, 3, 9), uevents=(16, 2, 15),\n    \
        netfilter=(16, 3, 12), generic=(16, 3, 16), diagnosis=(16, 3, 4))\n\
    USUAL = [(1, 1), (1, 2), (1, 5), (2, 1), (2, 1, 6), (2, 2), (2, 2, 17), (2, 1 | socket.SOCK_CLOEXEC), (10, 1),\n    \
        (10, 2), (16, 3, 0)]\n\
    print('other sockets', [name for name, kind in OTHERS.items() if made(*kind) != 'refused'])\n\
    print('usual sockets', [kind for kind in USUAL if made(*kind) != 'could'])\n\
    print('pair', len(socket.socketpair()))\n";

#[tokio::test]
async fn other_families_of_sockets_are_refused_in_each_tier() {
    for isolation in [Isolation::Bwrap, Isolation::Landlock] {
        let outcome = Bench::cells(&[SOCKETS]).isolated(isolation).run().await;
        outcome.result();
        for line in ["other sockets []", "usual sockets []", "pair 2"] {
            assert!(outcome.printed(line), "{isolation:?}: {line}: {:?}", outcome.log);
        }
    }
}

#[tokio::test]
async fn under_landlock_connections_go_to_listed_ports_and_never_to_isochrones_own() {
    let (store, other) = (Greeter::raw("store"), Greeter::raw("ephemeral"));
    let (listed, unlisted) = (Greeter::below("listed"), Greeter::below("unlisted"));
    let source = format!(
        "STORE, OTHER, LISTED, UNLISTED = {}, {}, {}, {}\n",
        store.port, other.port, listed.port, unlisted.port
    ) + CLIENTS
        + "def fast_open(call):\n    \
               connection = socket.socket()\n    \
               try:\n        call(connection)\n        return connection.recv(100).decode()\n    \
               except OSError as error: return f'refused {type(error).__name__}'\n\
           to = ('127.0.0.1', STORE)\n\
           tell('store', raw(*to)); tell('unlisted', raw('127.0.0.1', UNLISTED))\n\
           tell('store mapped', raw('::ffff:127.0.0.1', STORE))\n\
           tell('store fast', fast_open(lambda c: c.sendto(b'x', socket.MSG_FASTOPEN, to)))\n\
           tell('store fast message', fast_open(lambda c: c.sendmsg([b'x'], [], socket.MSG_FASTOPEN, to)))\n\
           tell('listed', raw('127.0.0.1', LISTED)); tell('own server', raw('127.0.0.1', OTHER))\n\
           import multiprocessing\n\
           print('pool', multiprocessing.get_context('fork').Pool(2).map(abs, [-1, -2]))\n\
           try: print('shared memory', os.listdir('/dev/shm'))\n\
           except OSError: print('shared memory refused')";
    let mut bench = Bench::cells(&[&source]).isolated(Isolation::Landlock);
    bench.config.reach = vec![format!("tcp://127.0.0.1:{}", listed.port).parse().unwrap()];
    bench.own = Destination::of_servers(&format!("redis://127.0.0.1:{}", store.port));
    let outcome = bench.run().await;
    outcome.result();
    for (what, expected) in [
        ("store", "refused PermissionError"),
        ("store mapped", "refused PermissionError"),
        ("store fast", "refused PermissionError"),
        ("store fast message", "refused PermissionError"),
        ("unlisted", "refused PermissionError"),
        ("listed", "listed"),
        ("own server", "ephemeral"),
    ] {
        assert_eq!(said(&outcome, what), expected, "{what}");
    }
    assert!(outcome.printed("pool [1, 2]") && outcome.printed("shared memory refused"), "{:?}", outcome.log);
    assert_eq!(store.connections(), 0);
}

#[tokio::test]
async fn without_a_network_there_is_loopback_alone() {
    let outside = Greeter::raw("outside");
    let source = format!("OUTSIDE = {}\n", outside.port)
        + CLIENTS
        + "import threading\n\
           own = socket.create_server(('127.0.0.1', 0))\n\
           threading.Thread(target=lambda: own.accept()[0].sendall(b'own'), daemon=True).start()\n\
           tell('own', raw(*own.getsockname())); tell('outside', raw('127.0.0.1', OUTSIDE))\n\
           tell('public', raw('93.184.216.34', 80))";
    let mut bench = Bench::cells(&[&source]).isolated(Isolation::Bwrap);
    bench.config.network = Network::None;
    let outcome = bench.run().await;
    outcome.result();
    assert_eq!(said(&outcome, "own"), "own");
    assert!(
        said(&outcome, "outside").starts_with("refused") && said(&outcome, "public").starts_with("refused")
    );
    assert_eq!(outside.connections(), 0);
}

#[tokio::test]
async fn the_operators_variables_and_pips_settings_are_there() {
    let source = "import os\nprint('own', os.environ['DEPARTMENT'])\n\
                  print('attempt', os.environ['ISOCHRONE_RUN_ID'] != 'forged')\n\
                  print('proxy', os.environ['https_proxy'], os.environ['no_proxy'])\n\
                  print('names', open('/etc/resolv.conf').read().split()[:2])";
    let mut bench = Bench::cells(&[source]).isolated(Isolation::Bwrap);
    let own = [("DEPARTMENT", "rivers"), ("ISOCHRONE_RUN_ID", "forged")];
    bench.config.environment = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let outcome = bench.run().await;
    outcome.result();
    for line in [
        "own rivers",
        "attempt True",
        "proxy http://127.0.0.1:3128 localhost,127.0.0.1,::1",
        "names ['nameserver', '127.0.0.1']",
    ] {
        assert!(outcome.printed(line), "{line}: {:?}", outcome.log);
    }
    let first = &outcome.log.first().unwrap().1;
    assert!(first.starts_with("network: guarded: public addresses"), "{first}");
}

#[tokio::test]
async fn a_run_leaves_no_connection_and_has_no_more_than_its_share() {
    let held = Greeter::start(|stream| {
        stream.write_all(b"held")?;
        // Until the other end is gone.
        drop(stream.read(&mut [0; 1]));
        Ok(())
    });
    let source = format!("HELD = {}\n", held.port)
        + CLIENTS
        + "import time\n\
           connections = []\n\
           for _ in range(200):\n    \
               connection = socket.create_connection(('127.0.0.1', HELD), 5)\n    connections.append(connection)\n\
           time.sleep(1)\n\
           ready = 0\n\
           for connection in connections:\n    \
               connection.setblocking(False)\n    \
               try: ready += connection.recv(10) == b'held'\n    \
               except OSError: pass\n\
           tell('ready', ready)";
    let mut bench = Bench::cells(&[&source]).isolated(Isolation::Bwrap);
    bench.config.reach = vec![format!("tcp://127.0.0.1:{}", held.port).parse().unwrap()];
    let outcome = bench.run().await;
    outcome.result();
    let ready: usize = said(&outcome, "ready").parse().unwrap();
    assert!((1..=128).contains(&ready), "{ready}");
}
