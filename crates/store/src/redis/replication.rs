//! What a master and its replicas say of themselves, and what that means for durability.

use super::durability::Wait;

/// `WAITAOF` is there from this version on.
const WAITAOF: (u32, u32) = (7, 2);

/// A replica as its master names it, and as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) host: String,
    pub(super) port: u16,
    /// None: it could not be asked.
    pub(super) own: Option<Own>,
}

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// 0: it never becomes the master.
    pub(super) priority: u32,
    /// In a cluster: it never takes over.
    pub(super) never_takes_over: bool,
    /// It syncs each write.
    pub(super) syncs_always: bool,
}

impl Own {
    fn is_electable(&self) -> bool {
        self.priority > 0 && !self.never_takes_over
    }
}

/// The replicas that a master's `INFO replication` names.
pub(super) fn replicas(info: &str) -> Vec<Replica> {
    let named = info.lines().filter_map(|line| {
        let (name, facts) = line.trim_end().split_once(':')?;
        let number = name.strip_prefix("slave")?;
        number.parse::<u32>().ok()?;
        let fact = |wanted: &str| {
            facts.split(',').find_map(|fact| fact.split_once('=').filter(|(name, _)| *name == wanted))
        };
        Some(Replica { host: fact("ip")?.1.to_owned(), port: fact("port")?.1.parse().ok()?, own: None })
    });
    named.collect()
}

/// A field of `INFO`.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
}

/// The version's first two numbers.
pub(super) fn version(info: &str) -> (u32, u32) {
    let mut parts =
        field(info, "redis_version").unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// For what a master's commits wait: that the loss of any one server loses nothing. `min_replicas`: the master's
/// `min-replicas-to-write`.
pub(super) fn wait(info: &str, replicas: &[Replica], min_replicas: u32) -> Wait {
    if replicas.is_empty() && min_replicas == 0 {
        return Wait::Nothing;
    }
    let count = |passes: fn(&Own) -> bool| {
        replicas.iter().filter(|replica| replica.own.as_ref().is_none_or(passes)).count() as u32
    };
    let (all, electable) = (replicas.len() as u32, count(Own::is_electable));
    // Redis counts those that never take over, too.
    let wanted = electable.saturating_sub(1).max(1) + (all - electable).min(all.saturating_sub(1));
    let synced = !replicas.is_empty()
        && replicas.iter().all(|replica| replica.own.as_ref().is_some_and(|own| own.syncs_always));
    if synced && version(info) >= WAITAOF { Wait::Disk(wanted) } else { Wait::Memory(wanted) }
}

/// What is wrong with the way a master is replicated, and how it is changed. `in_cluster`: a cluster looks at no
/// priorities.
pub(super) fn weaknesses(replicas: &[Replica], min_replicas: u32, in_cluster: bool) -> Vec<String> {
    let mut weak = Vec::new();
    if replicas.is_empty() {
        return weak;
    }
    if min_replicas < 1 {
        weak.push(
            "`min-replicas-to-write` is `0` and must be at least `1` where there are replicas (redis.conf of master and \
             replicas, or CONFIG SET min-replicas-to-write 1)"
                .to_owned(),
        );
    }
    let mut priorities = replicas.iter().filter_map(|replica| Some(replica.own.as_ref()?.priority));
    if let Some(first) = priorities.next()
        && !in_cluster
        && let Some(other) = priorities.find(|priority| *priority != first)
    {
        weak.push(format!(
            "`replica-priority` is `{first}` at one replica and `{other}` at another, and must be the same at all: else one \
             that has less takes over (redis.conf, or CONFIG SET replica-priority 100)"
        ));
    }
    weak
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "redis_version:7.0.15\r\nrole:master\r\nconnected_slaves:2\r\n\
                        slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0\r\n\
                        slave1:ip=10.0.0.3,port=6380,state=online,offset=14,lag=1\r\n";

    fn replica(priority: u32, syncs_always: bool) -> Replica {
        let own = Some(Own { priority, never_takes_over: false, syncs_always });
        Replica { host: "10.0.0.2".to_owned(), port: 6379, own }
    }

    #[test]
    fn reads_the_replicas() {
        let found = replicas(INFO);
        let places: Vec<_> = found.iter().map(|replica| (replica.host.as_str(), replica.port)).collect();
        assert_eq!(places, [("10.0.0.2", 6379), ("10.0.0.3", 6380)]);
        assert_eq!(version(INFO), (7, 0));
    }

    #[test]
    fn waits_until_one_server_may_be_lost() {
        let new = "redis_version:7.2.4";
        assert_eq!(wait(INFO, &[], 0), Wait::Nothing);
        assert_eq!(wait(INFO, &[], 1), Wait::Memory(1));
        for (count, wanted) in [(1, 1), (2, 1), (3, 2), (5, 4)] {
            let all = vec![replica(100, true); count];
            assert_eq!(wait(INFO, &all, 1), Wait::Memory(wanted), "{count}");
            assert_eq!(wait(new, &all, 1), Wait::Disk(wanted), "{count}");
            assert_eq!(wait(new, &vec![replica(100, false); count], 1), Wait::Memory(wanted));
        }
        // The one that can take over must be among those that have it.
        assert_eq!(wait(INFO, &[replica(100, true), replica(0, true)], 1), Wait::Memory(2));
        assert_eq!(wait(INFO, &[replica(0, true)], 1), Wait::Memory(1));
        let unknown = Replica { own: None, ..replica(100, true) };
        assert_eq!(wait(new, &[unknown.clone(), unknown], 1), Wait::Memory(1), "it is not known to sync");
    }

    #[test]
    fn names_what_is_weak() {
        let good = [replica(100, true), replica(100, true)];
        assert!(weaknesses(&good, 1, false).is_empty() && weaknesses(&[], 0, false).is_empty());
        assert!(weaknesses(&good, 0, false)[0].contains("`min-replicas-to-write` is `0`"));
        let unequal = [replica(100, true), replica(50, true)];
        assert!(weaknesses(&unequal, 1, false)[0].contains("`replica-priority`"));
        assert!(weaknesses(&unequal, 1, true).is_empty());
    }
}
