"""The first program in a notebook's network namespace, before anything of the notebook's.

Makes the sockets by which the worker serves the namespace, hands them to the worker over a Unix socket, gives up
the privileges that this took, and becomes the program that was meant.
Arguments: the Unix socket's number, the proxy's port, the other ports with commas, then the program and its own.
"""

import ctypes
import os
import runpy
import socket
import struct
import sys

PROXY, NAMES = "127.0.0.1", ("127.0.0.1", 53)
# Beside 127.0.0.1, so that getaddrinfo's AI_ADDRCONFIG takes IPv4 for configured.
OWN_ADDRESS, OWN_PREFIX = "127.64.0.1", 10
BACKLOG = 128

# linux/rtnetlink.h, linux/if_addr.h
RTM_NEWADDR, RTM_NEWROUTE = 20, 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 1, 4, 0x400
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, RTA_OIF = 255, 3, 254, 2, 4
IFA_ADDRESS, IFA_LOCAL = 1, 2
# linux/prctl.h, linux/capability.h
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, LAST_CAPABILITY = 24, 47, 4, 63
CAPABILITY_VERSION_3 = 0x20080522
SO_ATTACH_FILTER = 26

# Classic BPF: the packets of IPv4's TCP that say "nobody listens here" (RST and ACK, sequence number 0).
REFUSED_CONNECTIONS = [
    (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf)
    (0x50, 0, 0, 13),  # ldb [x + 13]: flags
    (0x54, 0, 0, 0x14),  # and #RST|ACK
    (0x15, 0, 3, 0x14),  # jne drop
    (0x40, 0, 0, 4),  # ld [x + 4]: sequence number
    (0x15, 0, 1, 0),  # jne drop
    (0x06, 0, 0, 60),  # ret 60
    (0x06, 0, 0, 0),  # ret 0
]


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value


def ask_kernel(kind, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
        if error:
            raise OSError(-error, os.strerror(-error))


def every_address_is_local(family):
    """A connection to any address arrives here, and its listener sees for whom it was meant."""
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0)
    ask_kernel(RTM_NEWROUTE, body + attribute(RTA_OIF, struct.pack("=I", socket.if_nametoindex("lo"))))


def own_address():
    address = socket.inet_aton(OWN_ADDRESS)
    body = struct.pack("=BBBBI", socket.AF_INET, OWN_PREFIX, 0, RT_SCOPE_HOST, socket.if_nametoindex("lo"))
    ask_kernel(RTM_NEWADDR, body + attribute(IFA_LOCAL, address) + attribute(IFA_ADDRESS, address))


def listener(port):
    try:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    except (OSError, ValueError):  # Without IPv6.
        return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)


def names():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(NAMES)
    return udp


def refused_connections():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    steps = b"".join(struct.pack("=HBBI", *step) for step in REFUSED_CONNECTIONS)
    buffer = ctypes.create_string_buffer(steps)
    program = struct.pack("@HP", len(REFUSED_CONNECTIONS), ctypes.addressof(buffer))
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    return raw


def drop_privileges():
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(LAST_CAPABILITY + 1):
        system.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("=II", CAPABILITY_VERSION_3, 0))
    if system.capset(header, ctypes.create_string_buffer(24)) != 0:
        raise OSError(ctypes.get_errno(), "the namespace's privileges can't be dropped")


def main():
    worker, proxy, ports = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    made, missing = [("proxy", socket.create_server((PROXY, proxy), backlog=BACKLOG))], []

    def attempt(name, make):
        try:
            made.append((name, make()))
        except OSError as error:
            missing.append(f"{name}: {error.strerror or error}")

    def settle(name, act):
        try:
            act()
        except OSError as error:
            missing.append(f"{name}: {error.strerror or error}")

    settle("address", own_address)
    settle("addresses", lambda: every_address_is_local(socket.AF_INET))
    settle("IPv6", lambda: every_address_is_local(socket.AF_INET6))
    attempt("names", names)
    attempt("names-tcp", lambda: socket.create_server(NAMES, backlog=BACKLOG))
    attempt("refused", refused_connections)
    for port in filter(None, ports.split(",")):
        attempt(f"port-{port}", lambda: listener(int(port)))
    with socket.socket(fileno=worker) as channel:
        for name, made_socket in made:
            socket.send_fds(channel, [name.encode() + b"\n"], [made_socket.fileno()])
            made_socket.close()
        channel.sendall("".join(f"missing {line}\n" for line in missing).encode() + b"end\n")
    drop_privileges()
    program = sys.argv[4]
    sys.argv = sys.argv[4:]
    runpy.run_path(program, run_name="__main__")


main()
