//! Where this process stands among the machine's cgroups (cgroups(7), proc(5)).

use std::path::{Path, PathBuf};

/// The kernel's two interfaces to cgroups. They differ in files' names and in who may be where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A mounted tree of cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// What it controls; of version 2 the files tell.
    pub(super) controllers: Vec<String>,
    /// The folder of this process's own cgroup.
    pub(super) own: PathBuf,
}

/// The hierarchies in which this process can see its own cgroup, from the text of `/proc/self/mountinfo` and
/// `/proc/self/cgroup`.
pub(super) fn hierarchies(mounts: &str, memberships: &str) -> Vec<Hierarchy> {
    mounts.lines().filter_map(|line| hierarchy(line, memberships)).collect()
}

fn hierarchy(mount: &str, memberships: &str) -> Option<Hierarchy> {
    let (place, kind) = mount.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (kind, options) = (kind.next()?, kind.nth(1)?);
    let version = match kind {
        "cgroup2" => Version::Two,
        "cgroup" => Version::One,
        _ => return None,
    };
    let options: Vec<&str> = options.split(',').collect();
    let mut memberships = memberships.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    let (controllers, path) = memberships.find(|(controllers, _)| match version {
        Version::Two => controllers.is_empty(),
        Version::One => !controllers.is_empty() && controllers.split(',').all(|name| options.contains(&name)),
    })?;
    // A container may see only a part of the tree.
    let below = Path::new(path).strip_prefix(root).ok()?;
    let outside = below.components().any(|part| part.as_os_str() == "..");
    (!outside).then(|| Hierarchy {
        version,
        controllers: controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        own: Path::new(point).join(below),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn finds_its_own_cgroup_in_either_version() {
        let found = hierarchies(V2, "0::/system.slice/isochrone@worker.service\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].version, Version::Two);
        assert_eq!(found[0].own, Path::new("/sys/fs/cgroup/system.slice/isochrone@worker.service"));

        let mounts = "33 24 0:29 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n\
                      34 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      35 24 0:31 / /tmp rw - tmpfs pids rw,pids";
        let found = hierarchies(mounts, "4:pids:/one/two\n3:cpuacct,cpu:/\n0::/");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].controllers, ["pids"]);
        assert_eq!(found[0].own, Path::new("/sys/fs/cgroup/pids/one/two"));
        assert_eq!(found[1].controllers, ["cpuacct", "cpu"]);
    }

    #[test]
    fn a_container_sees_its_part_and_nothing_outside() {
        let mount = "40 30 0:29 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids";
        let own = hierarchies(mount, "4:pids:/docker/abc/inner").remove(0).own;
        assert_eq!(own, Path::new("/sys/fs/cgroup/pids/inner"));
        assert_eq!(hierarchies(mount, "4:pids:/docker/another"), []);
        assert_eq!(hierarchies(V2, "0::/../outside"), []);
        assert_eq!(hierarchies("", "0::/"), []);
        assert_eq!(hierarchies("nonsense - cgroup2", "0::/"), []);
    }
}
