//! System calls that no notebook needs and that lead out of what holds it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Refused with EPERM.
const REFUSED: &[libc::c_long] = &[
    // Others' memory and files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_open_by_handle_at,
    // Other views of the machine.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_memfd_secret,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Said not to exist, so that libraries take the older calls, which the filter can look into.
const UNKNOWN: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_openat2,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Memory that is in no process: where no cgroup counts it, only its end is.
const UNCOUNTED_MEMORY: &[libc::c_long] = &[libc::SYS_memfd_create, libc::SYS_vmsplice];

/// What is the whole IPC namespace's, and stays when its maker ends; kernel memory, too.
const SHARED_WITH_OTHERS: &[libc::c_long] = &[
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_mq_open,
];

/// What a filter depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    /// Whether a cgroup counts memory that is in no process.
    pub(super) memory_is_counted: bool,
    /// Whether nobody else is in its namespaces of IPC and of processes.
    pub(super) own_namespaces: bool,
}

/// The flags of `clone` that make namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// What puts input into a terminal, as if its user had typed it.
const TERMINAL_INPUT: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// Families of sockets that notebooks have: others (vsock, Bluetooth, packet, SMC ...) are no matter of network
/// namespaces, or of Landlock.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Of IP: the default, TCP, UDP and ping. Landlock's rules for TCP don't know MPTCP and SCTP.
const PROTOCOLS: [libc::c_int; 5] =
    [libc::IPPROTO_IP, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6];

/// Types of sockets of IP beside streams, datagrams, and raw ones, which need a privilege that only a network
/// namespace's first program has; flags stand above these bits.
const OTHER_TYPES: [libc::c_int; 4] = [libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, SOCK_PACKET];
/// An older name of packet sockets (linux/net.h).
const SOCK_PACKET: libc::c_int = 10;
const TYPE_BITS: u64 = 0xf;

/// Connects without `connect`, which Landlock does not look at.
const FAST_OPEN: u64 = libc::MSG_FASTOPEN as u64;

/// On x86-64, kernels that know the x32 ABI have the same calls under second numbers.
#[cfg(target_arch = "x86_64")]
const X32: libc::c_long = 0x4000_0000;

/// There these have others: ioctl, ptrace, kexec_load, process_vm_readv, process_vm_writev
/// (arch/x86/entry/syscalls/syscall_64.tbl).
#[cfg(target_arch = "x86_64")]
const OF_X32: [libc::c_long; 5] = [514, 521, 528, 539, 540];

/// The thread and all that it starts can't make these calls from here on.
pub(super) fn restrict_thread(calls: Calls) -> io::Result<()> {
    for filter in filters(calls)? {
        seccompiler::apply_filter(&filter).map_err(io::Error::other)?;
    }
    Ok(())
}

/// The filters as programs that can read them from an open file take them.
pub(super) fn filters_in_files(calls: Calls) -> io::Result<Vec<OwnedFd>> {
    filters(calls)?.iter().map(in_file).collect()
}

fn in_file(filter: &BpfProgram) -> io::Result<OwnedFd> {
    let mut bytes = Vec::new();
    for step in filter {
        bytes.extend(step.code.to_ne_bytes());
        bytes.extend([step.jt, step.jf]);
        bytes.extend(step.k.to_ne_bytes());
    }
    sealed_file(&bytes)
}

/// An open file with these bytes, that nobody can change.
pub(super) fn sealed_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create("isochrone", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.rewind()?;
    // Another child that is started in that moment inherits it, too: it must not be able to change it.
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

fn filters(calls: Calls) -> io::Result<[BpfProgram; 2]> {
    let refused = refused(calls).and_then(|rules| compiled(rules, libc::EPERM));
    let mut unknown = always(UNKNOWN);
    if !calls.memory_is_counted {
        unknown.extend(always(UNCOUNTED_MEMORY));
    }
    if !calls.memory_is_counted || !calls.own_namespaces {
        unknown.extend(always(SHARED_WITH_OTHERS));
    }
    let unknown = compiled(unknown, libc::ENOSYS);
    Ok([refused.map_err(io::Error::other)?, unknown.map_err(io::Error::other)?])
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn always(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn refused(calls: Calls) -> Result<Rules, BackendError> {
    use SeccompCmpArgLen::Dword;
    let mut rules = always(REFUSED);
    let makes_namespace = |flag: libc::c_int| {
        let flag = flag as u64;
        SeccompRule::new(vec![SeccompCondition::new(0, Dword, SeccompCmpOp::MaskedEq(flag), flag)?])
    };
    rules.insert(libc::SYS_clone, NAMESPACES.into_iter().map(makes_namespace).collect::<Result<_, _>>()?);
    let (socket, socketpair) = sockets()?;
    rules.insert(libc::SYS_socket, socket);
    rules.insert(libc::SYS_socketpair, socketpair);
    for (call, argument) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        rules.insert(call, vec![SeccompRule::new(vec![has_bits(argument, FAST_OPEN, FAST_OPEN)?])?]);
    }
    // No cgroup counts huge pages as memory. Programs go on without them.
    let huge = |argument, flag: u64| Ok(vec![SeccompRule::new(vec![has_bits(argument, flag, flag)?])?]);
    rules.insert(libc::SYS_mmap, huge(3, libc::MAP_HUGETLB as u64)?);
    rules.insert(libc::SYS_memfd_create, huge(1, u64::from(libc::MFD_HUGETLB))?);
    rules.insert(libc::SYS_shmget, huge(2, libc::SHM_HUGETLB as u64)?);
    let types_in = |code| SeccompRule::new(vec![SeccompCondition::new(1, Dword, SeccompCmpOp::Eq, code)?]);
    rules.insert(libc::SYS_ioctl, TERMINAL_INPUT.into_iter().map(types_in).collect::<Result<_, _>>()?);
    rules.extend(programs_run_as_their_owner()?);
    if !calls.own_namespaces {
        rules.extend(others_resources()?);
    }
    Ok(rules)
}

/// `fchmodat2`, which not all versions of libc know (asm-generic/unistd.h; the same everywhere).
const FCHMODAT2: libc::c_long = 452;
/// The bit of `O_TMPFILE` that is its own (asm-generic/fcntl.h).
const TMPFILE: u64 = 0o20_000_000;

/// Files with the set-user-ID bit: what stays of a build or of a notebook would be the worker's own program for others of
/// the machine.
fn programs_run_as_their_owner() -> Result<Rules, BackendError> {
    const CREATE: u64 = libc::O_CREAT as u64;
    let set_user_id = |argument| has_bits(argument, u64::from(libc::S_ISUID), u64::from(libc::S_ISUID));
    let mut rules = Rules::new();
    let modes = [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, 1),
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (FCHMODAT2, 2),
        (libc::SYS_mknodat, 2),
    ];
    for (call, mode) in modes {
        rules.insert(call, vec![SeccompRule::new(vec![set_user_id(mode)?])?]);
    }
    // Where nothing is made, anything may stand in the place of the mode.
    let opens = [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, 1),
        (libc::SYS_openat, 2),
    ];
    for (call, flags) in opens {
        let making = [CREATE, TMPFILE]
            .map(|flag| SeccompRule::new(vec![has_bits(flags, flag, flag)?, set_user_id(flags + 1)?]));
        rules.insert(call, making.into_iter().collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

/// Limits and priorities of other processes: who is the same user may set them, the worker's and other runs' included
/// (a limit on its time of a processor ends it). What a process sets for itself has 0 for whose it is.
fn others_resources() -> Result<Rules, BackendError> {
    use SeccompCmpArgLen::Dword;
    use SeccompCmpOp::{Eq, Ne};
    let mut rules = Rules::new();
    let another = |argument| SeccompCondition::new(argument, Dword, Ne, 0);
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![another(0)?])?]);
    let worker = u64::from(std::process::id());
    let is = |argument, value: u64| SeccompCondition::new(argument, Dword, Eq, value);
    // Libraries (ZeroMQ) name their own threads by number.
    for call in [libc::SYS_sched_setscheduler, libc::SYS_sched_setparam, libc::SYS_sched_setattr] {
        rules.insert(call, vec![SeccompRule::new(vec![is(0, worker)?])?]);
    }
    // A notebook's kernel is made less urgent by its driver.
    let priority = [
        vec![is(0, PRIO_USER)?],
        vec![is(0, PRIO_PGRP)?, another(1)?],
        vec![is(0, PRIO_PROCESS)?, is(1, worker)?],
    ];
    rules
        .insert(libc::SYS_setpriority, priority.map(SeccompRule::new).into_iter().collect::<Result<_, _>>()?);
    let of_the_disk = [vec![is(0, IOPRIO_WHO_USER)?], vec![another(1)?]];
    rules.insert(
        libc::SYS_ioprio_set,
        of_the_disk.map(SeccompRule::new).into_iter().collect::<Result<_, _>>()?,
    );
    Ok(rules)
}

/// linux/resource.h
const PRIO_PROCESS: u64 = 0;
const PRIO_PGRP: u64 = 1;
const PRIO_USER: u64 = 2;
/// linux/ioprio.h
const IOPRIO_WHO_USER: u64 = 3;

/// `socket` and `socketpair` that are refused.
fn sockets() -> Result<(Vec<SeccompRule>, Vec<SeccompRule>), BackendError> {
    use SeccompCmpArgLen::Dword;
    let differs = |argument, values: &[libc::c_int]| -> Result<Vec<SeccompCondition>, BackendError> {
        let ne =
            |value: &libc::c_int| SeccompCondition::new(argument, Dword, SeccompCmpOp::Ne, *value as u64);
        values.iter().map(ne).collect()
    };
    let is =
        |argument, value: libc::c_int| SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value as u64);
    let mut socket = vec![SeccompRule::new(differs(0, &FAMILIES)?)?];
    let mut other_netlink = differs(2, &[libc::NETLINK_ROUTE])?;
    other_netlink.push(is(0, libc::AF_NETLINK)?);
    socket.push(SeccompRule::new(other_netlink)?);
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut other_protocol = differs(2, &PROTOCOLS)?;
        other_protocol.push(is(0, family)?);
        socket.push(SeccompRule::new(other_protocol)?);
        for kind in OTHER_TYPES {
            let other_type = vec![is(0, family)?, has_bits(1, TYPE_BITS, kind as u64)?];
            socket.push(SeccompRule::new(other_type)?);
        }
    }
    Ok((socket, vec![SeccompRule::new(differs(0, &[libc::AF_UNIX])?)?]))
}

fn has_bits(argument: u8, mask: u64, bits: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), bits)
}

fn compiled(rules: Rules, error: libc::c_int) -> Result<BpfProgram, BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    #[cfg(target_arch = "x86_64")]
    let rules = rules
        .into_iter()
        .flat_map(|(call, when)| [(call | X32, when.clone()), (call, when)])
        .chain(OF_X32.map(|call| (call | X32, Vec::new())));
    let filter = SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(error as u32),
        arch,
    )?;
    filter.try_into()
}
