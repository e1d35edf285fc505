//! The types of the symbols that analysis begins from: BTF has them for per-processor variables only.
//!
//! These are the symbols that volatility3 2.28 makes objects of. Where a kernel lacks the symbol or the type, nothing is
//! said of it.

/// The type of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A structure of this name.
    Struct(&'static str),
    /// The structure without a name that has these members.
    With(&'static [&'static str]),
    /// An integer of this name.
    Base(&'static str),
    /// A pointer.
    Pointer(&'static Shape),
    /// An array.
    Array(u32, &'static Shape),
    /// An array of as many as there is room for until the next symbol.
    Fill(&'static Shape),
}

use Shape::{Array, Base, Fill, Pointer, Struct, With};

const INT: Shape = Base("int");
const UNSIGNED: Shape = Base("unsigned int");
const LONG: Shape = Base("long unsigned int");
const LIST: Shape = Struct("list_head");
const SEQUENCE: Shape = Struct("seq_operations");

/// By name of the symbol.
pub(crate) const KNOWN: &[(&str, Shape)] = &[
    // Processes, and what they see.
    ("init_task", Struct("task_struct")),
    ("init_mm", Struct("mm_struct")),
    ("init_files", Struct("files_struct")),
    ("init_cred", Struct("cred")),
    ("init_pid_ns", Struct("pid_namespace")),
    ("init_net", Struct("net")),
    ("init_user_ns", Struct("user_namespace")),
    ("init_uts_ns", Struct("uts_namespace")),
    ("net_namespace_list", LIST),
    ("pid_hash", Pointer(&Struct("hlist_head"))),
    ("pidhash_shift", UNSIGNED),
    ("cap_last_cap", INT),
    // Modules and the kernel's own state.
    ("modules", LIST),
    ("module_kset", Pointer(&Struct("kset"))),
    ("mod_tree", Struct("mod_tree_root")),
    ("module_addr_min", LONG),
    ("module_addr_max", LONG),
    // Every kernel with BTF has at least these; later ones have flags for tests besides.
    ("taint_flags", Array(18, &Struct("taint_flag"))),
    ("idt_table", Array(256, &Struct("gate_struct"))),
    ("vmemmap_base", LONG),
    ("iomem_resource", Struct("resource")),
    ("super_blocks", LIST),
    ("kallsyms_num_syms", UNSIGNED),
    // Hooks: where what hides itself is found.
    ("prog_idr", Struct("idr")),
    ("map_idr", Struct("idr")),
    ("bpf_kallsyms", LIST),
    ("ftrace_ops_list", Pointer(&Struct("ftrace_ops"))),
    ("ftrace_list_end", Struct("ftrace_ops")),
    ("ftrace_ops_trampoline_list", LIST),
    ("ftrace_mod_maps", LIST),
    ("__start___tracepoints_ptrs", Fill(&INT)),
    ("keyboard_notifier_list", Struct("atomic_notifier_head")),
    ("tty_drivers", LIST),
    ("socket_file_ops", Struct("file_operations")),
    ("sockfs_dentry_operations", Struct("dentry_operations")),
    ("raw_seq_ops", SEQUENCE),
    ("raw6_seq_ops", SEQUENCE),
    ("tcp_seq_ops", SEQUENCE),
    ("tcp4_seq_ops", SEQUENCE),
    ("tcp6_seq_ops", SEQUENCE),
    ("udp_seq_ops", SEQUENCE),
    ("udp6_seq_ops", SEQUENCE),
    ("arp_seq_ops", SEQUENCE),
    ("unix_seq_ops", SEQUENCE),
    ("packet_seq_ops", SEQUENCE),
    ("tcp4_seq_afinfo", Struct("tcp_seq_afinfo")),
    ("tcp6_seq_afinfo", Struct("tcp_seq_afinfo")),
    ("udp4_seq_afinfo", Struct("udp_seq_afinfo")),
    ("udp6_seq_afinfo", Struct("udp_seq_afinfo")),
    // The kernel's log, clock and screen.
    ("prb", Pointer(&Struct("printk_ringbuffer"))),
    ("log_buf", Pointer(&Base("char"))),
    ("log_buf_len", UNSIGNED),
    ("log_end", UNSIGNED),
    ("log_first_idx", UNSIGNED),
    ("log_next_idx", UNSIGNED),
    ("tk_core", With(&["seq", "timekeeper"])),
    ("num_registered_fb", INT),
    ("registered_fb", Array(32, &Pointer(&Struct("fb_info")))),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_symbol_is_known_once() {
        let names: BTreeSet<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), KNOWN.len(), "a symbol stands twice in the table: remove one of the two");
    }
}
