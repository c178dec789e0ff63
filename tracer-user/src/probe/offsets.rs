//! Where this kernel keeps the fields that the programs read, from its own type information.
//!
//! Rust's BPF objects carry no relocations, so the agent resolves the offsets at start and hands them
//! over as constants. No offset is written down anywhere.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use btf_rs::{Backend, Btf, BtfType, Struct, Type};
use tracer_ebpf::abi::{NO_FIELD, Offsets};

use super::Error;

/// Where the kernel publishes it.
pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's type information: for our offsets, and for aya, which finds tracepoints by it.
pub(super) struct KernelBtf {
    pub(super) offsets: Offsets,
    pub(super) aya: aya::Btf,
}

impl KernelBtf {
    /// Reads and resolves; some 100 ms of CPU and tens of MB while it lasts.
    pub(super) fn read() -> Result<KernelBtf, Error> {
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| Error::NoBtf {
            path: BTF_PATH,
            source,
        };
        let offsets = {
            // Mapping it (Linux 6.16) spares parsing what is not asked for: 10 ms instead of 70.
            let btf = Btf::from_file_with_backend(BTF_PATH, Backend::Mmap)
                .or_else(|_| Btf::from_bytes(&std::fs::read(BTF_PATH)?))
                .map_err(|error| unreadable(Box::new(error)))?;
            resolve(&Structures {
                btf,
                found: RefCell::default(),
            })?
        };
        let aya = aya::Btf::from_sys_fs().map_err(|error| unreadable(Box::new(error)))?;
        Ok(KernelBtf { offsets, aya })
    }
}

/// Every field there is to find.
fn resolve(structures: &Structures) -> Result<Offsets, Error> {
    let at = |structure: &'static str, field: &'static str| {
        structures
            .offset(structure, field)
            .ok_or(Error::NoField { structure, field })
    };
    // Since Linux 6.13 a counter of another kind, whose 0 is one reference.
    let file_refs = match at("file", "f_ref.refcnt.counter") {
        Ok(offset) => (offset, 0),
        Err(_) => (at("file", "f_count.counter")?, 1),
    };
    Ok(Offsets {
        skc_family: at("sock_common", "skc_family")?,
        skc_state: at("sock_common", "skc_state")?,
        skc_num: at("sock_common", "skc_num")?,
        skc_dport: at("sock_common", "skc_dport")?,
        skc_rcv_saddr: at("sock_common", "skc_rcv_saddr")?,
        skc_daddr: at("sock_common", "skc_daddr")?,
        // A kernel without IPv6 has no sockets that need them.
        skc_v6_rcv_saddr: at("sock_common", "skc_v6_rcv_saddr").unwrap_or(NO_FIELD),
        skc_v6_daddr: at("sock_common", "skc_v6_daddr").unwrap_or(NO_FIELD),
        sk_type: at("sock", "sk_type")?,
        sk_protocol: at("sock", "sk_protocol")?,
        sk_socket: at("sock", "sk_socket")?,
        sk_bpf_storage: at("sock", "sk_bpf_storage")?,
        sk_receive_qlen: at("sock", "sk_receive_queue.qlen")?,
        socket_file: at("socket", "file")?,
        socket_sk: at("socket", "sk")?,
        copied_seq: at("tcp_sock", "copied_seq")?,
        rcv_nxt: at("tcp_sock", "rcv_nxt")?,
        write_seq: at("tcp_sock", "write_seq")?,
        snd_una: at("tcp_sock", "snd_una")?,
        bytes_received: at("tcp_sock", "bytes_received")?,
        bytes_acked: at("tcp_sock", "bytes_acked")?,
        icsk_ulp_ops: at("inet_connection_sock", "icsk_ulp_ops")?,
        regs_orig_ax: at("pt_regs", "orig_ax")?,
        regs_ax: at("pt_regs", "ax")?,
        regs_di: at("pt_regs", "di")?,
        regs_si: at("pt_regs", "si")?,
        regs_dx: at("pt_regs", "dx")?,
        regs_r10: at("pt_regs", "r10")?,
        regs_bx: at("pt_regs", "bx")?,
        regs_cx: at("pt_regs", "cx")?,
        regs_r8: at("pt_regs", "r8")?,
        regs_ip: at("pt_regs", "ip")?,
        regs_r14: at("pt_regs", "r14")?,
        regs_cs: at("pt_regs", "cs")?,
        task_tgid: at("task_struct", "tgid")?,
        task_pid: at("task_struct", "pid")?,
        task_fsbase: at("task_struct", "thread.fsbase")?,
        task_signal: at("task_struct", "signal")?,
        task_files: at("task_struct", "files")?,
        signal_live: at("signal_struct", "live.counter")?,
        signal_pids: at("signal_struct", "pids")?,
        pid_level: at("pid", "level")?,
        pid_numbers: at("pid", "numbers")?,
        upid_ns: at("upid", "ns")?,
        pid_ns_inum: at("pid_namespace", "ns.inum")?,
        files_fdt: at("files_struct", "fdt")?,
        fdt_max_fds: at("fdtable", "max_fds")?,
        fdt_fd: at("fdtable", "fd")?,
        file_inode: at("file", "f_inode")?,
        file_private_data: at("file", "private_data")?,
        file_flags: at("file", "f_flags")?,
        // Since Linux 5.11.
        file_epoll: at("file", "f_ep").unwrap_or(NO_FIELD),
        file_refs: file_refs.0,
        file_refs_one: file_refs.1,
        unix_addr: at("unix_sock", "addr").unwrap_or(NO_FIELD),
        inode_mode: at("inode", "i_mode")?,
        inode_ino: at("inode", "i_ino")?,
    })
}

/// The kernel's structures by name: looking one up walks all its types, so it is done once.
struct Structures {
    btf: Btf,
    found: RefCell<HashMap<&'static str, Rc<Vec<Struct>>>>,
}

impl Structures {
    /// Those of this name: one, as a rule.
    fn named(&self, name: &'static str) -> Rc<Vec<Struct>> {
        let mut found = self.found.borrow_mut();
        let structures = found.entry(name).or_insert_with(|| {
            let types = self.btf.resolve_types_by_name(name).unwrap_or_default();
            let structures = types.into_iter().filter_map(|found| match found {
                Type::Struct(found) => Some(found),
                _ => None,
            });
            Rc::new(structures.collect())
        });
        Rc::clone(structures)
    }

    /// Bytes from the start of `structure` to `path`, whose parts are joined by dots; members of
    /// anonymous structures and unions count as the structure's own, as in C.
    fn offset(&self, structure: &'static str, path: &str) -> Option<u32> {
        self.named(structure)
            .iter()
            .find_map(|found| walk(&self.btf, found, path))
            .map(|bits| bits / 8)
    }
}

/// As [`Structures::offset`], in bits.
fn walk(btf: &Btf, structure: &Struct, path: &str) -> Option<u32> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    for member in &structure.members {
        let member_name = btf.resolve_name(member).ok()?;
        if member_name == name {
            if rest.is_empty() {
                return Some(member.bit_offset());
            }
            let inner = aggregate(btf, member)?;
            return walk(btf, &inner, rest).map(|bits| member.bit_offset() + bits);
        }
        if member_name.is_empty()
            && let Some(inner) = aggregate(btf, member)
            && let Some(bits) = walk(btf, &inner, path)
        {
            return Some(member.bit_offset() + bits);
        }
    }
    None
}

/// The structure or union that a member is, through typedefs and qualifiers.
fn aggregate(btf: &Btf, member: &dyn BtfType) -> Option<Struct> {
    let mut found = btf.resolve_chained_type(member).ok()?;
    loop {
        found = match found {
            Type::Struct(inner) | Type::Union(inner) => return Some(inner),
            Type::Typedef(inner) => btf.resolve_chained_type(&inner).ok()?,
            Type::Const(inner) => btf.resolve_chained_type(&inner).ok()?,
            Type::Volatile(inner) => btf.resolve_chained_type(&inner).ok()?,
            _ => return None,
        };
    }
}
