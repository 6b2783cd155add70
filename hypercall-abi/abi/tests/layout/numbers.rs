//! The constants.

use crate::table::{named, numbers, Table};
use hypercall_abi::{
    addr, callback, console, cpuid, domctl, elfnote, evtchn, grant, ids, io, memory, mmu, nmi, nr,
    physdev, platform, regs, sched, segment, shared_info, start_info, sysctl, vcpu, version,
    vm_assist, xen, Errno,
};

/// Adds every constant.
pub fn fill(table: &mut Table) {
    hypercalls(table);
    identifiers(table);
    cpu(table);
    page_tables(table);
    memory_ops(table);
    events(table);
    grants(table);
    scheduling(table);
    features(table);
    devices(table);
    domain_commands(table);
    domain_values(table);
    system_commands(table);
    rings(table);
    devices_of_guests(table);
    for errno in Errno::ALL {
        // The public headers keep these two from guests; the numbers are those of the C library.
        let prefix = if matches!(errno, Errno::EINTR | Errno::ERESTART) { "" } else { "XEN_" };
        let c_name = format!("{prefix}{}", errno.name());
        table.push(format!("errno::{}", errno.name()), c_name, errno.number() as u64);
        table.cover(&format!("errno::{}", errno.name()));
    }
}

fn hypercalls(table: &mut Table) {
    numbers! { table;
        "__HYPERVISOR_", lower: nr::{
            SET_TRAP_TABLE, MMU_UPDATE, SET_GDT, STACK_SWITCH, SET_CALLBACKS, FPU_TASKSWITCH,
            SCHED_OP_COMPAT, PLATFORM_OP, SET_DEBUGREG, GET_DEBUGREG, UPDATE_DESCRIPTOR, MEMORY_OP,
            MULTICALL, UPDATE_VA_MAPPING, SET_TIMER_OP, EVENT_CHANNEL_OP_COMPAT, XEN_VERSION,
            CONSOLE_IO, PHYSDEV_OP_COMPAT, GRANT_TABLE_OP, VM_ASSIST,
            UPDATE_VA_MAPPING_OTHERDOMAIN, IRET, VCPU_OP, SET_SEGMENT_BASE, MMUEXT_OP, XSM_OP,
            NMI_OP, SCHED_OP, CALLBACK_OP, XENOPROF_OP, EVENT_CHANNEL_OP, PHYSDEV_OP, HVM_OP,
            SYSCTL, DOMCTL, KEXEC_OP, TMEM_OP, ARGO_OP, XENPMU_OP, DM_OP, HYPFS_OP, ARCH_0, ARCH_7,
        };
    }
}

fn identifiers(table: &mut Table) {
    use ids::{DomId, GrantRef, Virq};
    named! { table;
        DomId::FIRST_RESERVED.get() = "DOMID_FIRST_RESERVED";
        DomId::SELF.get() = "DOMID_SELF";
        DomId::IO.get() = "DOMID_IO";
        DomId::XEN.get() = "DOMID_XEN";
        DomId::COW.get() = "DOMID_COW";
        DomId::INVALID.get() = "DOMID_INVALID";
        DomId::IDLE.get() = "DOMID_IDLE";
        DomId::MASK = "DOMID_MASK";
        GrantRef::RESERVED_CONSOLE.get() = "GNTTAB_RESERVED_CONSOLE";
        GrantRef::RESERVED_XENSTORE.get() = "GNTTAB_RESERVED_XENSTORE";
        Virq::TIMER.get() = "VIRQ_TIMER";
        Virq::DEBUG.get() = "VIRQ_DEBUG";
        Virq::CONSOLE.get() = "VIRQ_CONSOLE";
        Virq::DOM_EXC.get() = "VIRQ_DOM_EXC";
        Virq::TBUF.get() = "VIRQ_TBUF";
        Virq::DEBUGGER.get() = "VIRQ_DEBUGGER";
        Virq::XENOPROF.get() = "VIRQ_XENOPROF";
        Virq::CON_RING.get() = "VIRQ_CON_RING";
        Virq::PCPU_STATE.get() = "VIRQ_PCPU_STATE";
        Virq::MEM_EVENT.get() = "VIRQ_MEM_EVENT";
        Virq::ARGO.get() = "VIRQ_ARGO";
        Virq::ENOMEM.get() = "VIRQ_ENOMEM";
        Virq::XENPMU.get() = "VIRQ_XENPMU";
        Virq::ARCH_0.get() = "VIRQ_ARCH_0";
        Virq::COUNT = "NR_VIRQS";
        addr::HYPERVISOR_VIRT_START = "HYPERVISOR_VIRT_START";
        addr::HYPERVISOR_VIRT_END = "HYPERVISOR_VIRT_END";
        addr::MACH2PHYS_VIRT_START = "MACH2PHYS_VIRT_START";
        addr::MACH2PHYS_VIRT_END = "MACH2PHYS_VIRT_END";
        addr::MACH2PHYS_NR_ENTRIES = "MACH2PHYS_NR_ENTRIES";
        xen::LEGACY_MAX_VCPUS = "XEN_LEGACY_MAX_VCPUS";
        xen::LATEST_INTERFACE_VERSION = "__XEN_LATEST_INTERFACE_VERSION__";
        xen::DOMCTL_INTERFACE_VERSION = "XEN_DOMCTL_INTERFACE_VERSION";
        xen::SYSCTL_INTERFACE_VERSION = "XEN_SYSCTL_INTERFACE_VERSION";
        xen::XENPF_INTERFACE_VERSION = "XENPF_INTERFACE_VERSION";
        xen::X86_EMU_PIT = "XEN_X86_EMU_PIT";
        xen::X86_MSR_RELAXED = "XEN_X86_MSR_RELAXED";
        xen::CPUID_NO_SUBLEAF = "XEN_CPUID_NO_SUBLEAF";
    }
}

fn cpu(table: &mut Table) {
    use regs::Vgcf;
    numbers! { table;
        "", upper: regs::{
            FLAT_RING3_CS32, FLAT_RING3_CS64, FLAT_RING3_DS32, FLAT_RING3_DS64, FLAT_RING3_SS32,
            FLAT_RING3_SS64, FLAT_KERNEL_CS, FLAT_KERNEL_DS, FLAT_KERNEL_SS, FLAT_USER_CS,
            FLAT_USER_DS, FLAT_USER_SS, FIRST_RESERVED_GDT_PAGE, FIRST_RESERVED_GDT_BYTE,
            FIRST_RESERVED_GDT_ENTRY, VGCF_IN_SYSCALL,
        };
        "", upper: segment::{SEGBASE_FS, SEGBASE_GS_USER, SEGBASE_GS_KERNEL, SEGBASE_GS_USER_SEL};
        "XEN_CPUID_", upper: cpuid::{
            FIRST_LEAF, MAX_NUM_LEAVES, SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX,
            FEAT1_MMU_PT_UPDATE_PRESERVE_AD, MACHINE_ADDRESS_WIDTH_MASK,
        };
    }
    named! { table;
        Vgcf::I387_VALID.bits() = "VGCF_i387_valid";
        Vgcf::IN_KERNEL.bits() = "VGCF_in_kernel";
        Vgcf::FAILSAFE_DISABLES_EVENTS.bits() = "VGCF_failsafe_disables_events";
        Vgcf::SYSCALL_DISABLES_EVENTS.bits() = "VGCF_syscall_disables_events";
        Vgcf::ONLINE.bits() = "VGCF_online";
    }
}

fn page_tables(table: &mut Table) {
    use mmu::{mmuext, uvmf};
    numbers! { table;
        "", upper: mmu::{
            MMU_NORMAL_PT_UPDATE, MMU_MACHPHYS_UPDATE, MMU_PT_UPDATE_PRESERVE_AD,
            MMU_PT_UPDATE_NO_TRANSLATE,
        };
        "MMUEXT_", upper: mmuext::{
            PIN_L1_TABLE, PIN_L2_TABLE, PIN_L3_TABLE, PIN_L4_TABLE, UNPIN_TABLE, NEW_BASEPTR,
            TLB_FLUSH_LOCAL, INVLPG_LOCAL, TLB_FLUSH_MULTI, INVLPG_MULTI, TLB_FLUSH_ALL, INVLPG_ALL,
            FLUSH_CACHE, SET_LDT, NEW_USER_BASEPTR, CLEAR_PAGE, COPY_PAGE, FLUSH_CACHE_GLOBAL,
            MARK_SUPER, UNMARK_SUPER,
        };
        "UVMF_", upper: uvmf::{NONE, TLB_FLUSH, INVLPG, FLUSHTYPE_MASK, MULTI, LOCAL, ALL};
    }
}

fn memory_ops(table: &mut Table) {
    use memory::{memf, resource};
    numbers! { table;
        "XENMEM_", lower: memory::{
            INCREASE_RESERVATION, DECREASE_RESERVATION, MAXIMUM_RAM_PAGE, CURRENT_RESERVATION,
            MAXIMUM_RESERVATION, MACHPHYS_MFN_LIST, POPULATE_PHYSMAP, ADD_TO_PHYSMAP, MEMORY_MAP,
            MACHINE_MEMORY_MAP, EXCHANGE, MACHPHYS_MAPPING, SET_MEMORY_MAP, MAXIMUM_GPFN,
            REMOVE_FROM_PHYSMAP, SET_POD_TARGET, GET_POD_TARGET, GET_SHARING_FREED_PAGES,
            GET_SHARING_SHARED_PAGES, ADD_TO_PHYSMAP_BATCH, CLAIM_PAGES, MACHPHYS_COMPAT_MFN_LIST,
            GET_VNUMAINFO, RESERVED_DEVICE_MEMORY_MAP, ACQUIRE_RESOURCE,
        };
        "XENMEM_resource_", lower: resource::{
            IOREQ_SERVER, GRANT_TABLE, VMTRACE_BUF, GRANT_TABLE_ID_SHARED, GRANT_TABLE_ID_STATUS,
        };
        "XENMEMF_", lower: memf::{POPULATE_ON_DEMAND, EXACT_NODE_REQUEST, VNODE};
        "XENMEM_", upper: memory::{RDM_ALL};
    }
}

fn events(table: &mut Table) {
    use evtchn::{fifo, status};
    numbers! { table;
        "EVTCHNOP_", lower: evtchn::{
            BIND_INTERDOMAIN, BIND_VIRQ, BIND_PIRQ, CLOSE, SEND, STATUS, ALLOC_UNBOUND, BIND_IPI,
            BIND_VCPU, UNMASK, RESET, INIT_CONTROL, EXPAND_ARRAY, SET_PRIORITY,
        };
        "EVTCHNSTAT_", lower: status::{CLOSED, UNBOUND, INTERDOMAIN, PIRQ, VIRQ, IPI};
        "EVTCHN_FIFO_", upper: fifo::{
            PRIORITY_MAX, PRIORITY_DEFAULT, PRIORITY_MIN, MAX_QUEUES, LINK_BITS, LINK_MASK,
            NR_CHANNELS,
        };
    }
    named! { table;
        evtchn::NR_CHANNELS_2L = "EVTCHN_2L_NR_CHANNELS";
        evtchn::BIND_PIRQ_WILL_SHARE = "BIND_PIRQ__WILL_SHARE";
        fifo::PENDING_BIT = "EVTCHN_FIFO_PENDING";
        fifo::MASKED_BIT = "EVTCHN_FIFO_MASKED";
        fifo::LINKED_BIT = "EVTCHN_FIFO_LINKED";
        fifo::BUSY_BIT = "EVTCHN_FIFO_BUSY";
    }
}

fn grants(table: &mut Table) {
    use grant::{gntmap, gntst, gtf};
    numbers! { table;
        "GNTTABOP_", lower: grant::{
            MAP_GRANT_REF, UNMAP_GRANT_REF, SETUP_TABLE, DUMP_TABLE, TRANSFER, COPY, QUERY_SIZE,
            UNMAP_AND_REPLACE, SET_VERSION, GET_STATUS_FRAMES, GET_VERSION, SWAP_GRANT_REF,
            CACHE_FLUSH,
        };
        "GNTTAB_", upper: grant::{NR_RESERVED_ENTRIES};
        "GTF_", lower: gtf::{
            INVALID, PERMIT_ACCESS, ACCEPT_TRANSFER, TRANSITIVE, TYPE_MASK, READONLY, READING,
            WRITING, SUB_PAGE, TRANSFER_COMMITTED, TRANSFER_COMPLETED,
        };
        "GTF_", upper: gtf::{PWT, PCD, PAT};
        "GNTMAP_", lower: gntmap::{
            DEVICE_MAP, HOST_MAP, READONLY, APPLICATION_MAP, CONTAINS_PTE, GUEST_AVAIL_MASK,
        };
        "GNTST_", lower: gntst::{
            OKAY, GENERAL_ERROR, BAD_DOMAIN, BAD_GNTREF, BAD_HANDLE, BAD_VIRT_ADDR, BAD_DEV_ADDR,
            NO_DEVICE_SPACE, PERMISSION_DENIED, BAD_PAGE, BAD_COPY_ARG, ADDRESS_TOO_BIG, EAGAIN,
            NO_SPACE,
        };
    }
    named! { table;
        gntmap::GUEST_AVAIL0 = "1u << _GNTMAP_guest_avail0";
        grant::GNTCOPY_SOURCE_GREF = "GNTCOPY_source_gref";
        grant::GNTCOPY_DEST_GREF = "GNTCOPY_dest_gref";
    }
}

fn scheduling(table: &mut Table) {
    use sched::shutdown;
    use vcpu::runstate;
    numbers! { table;
        "SCHEDOP_", lower: sched::{
            YIELD, BLOCK, SHUTDOWN, POLL, REMOTE_SHUTDOWN, SHUTDOWN_CODE, WATCHDOG, PIN_OVERRIDE,
        };
        "SHUTDOWN_", lower: shutdown::{POWEROFF, REBOOT, SUSPEND, CRASH, WATCHDOG, SOFT_RESET};
        "SHUTDOWN_", upper: shutdown::{MAX};
        "VCPUOP_", lower: vcpu::{
            INITIALISE, UP, DOWN, IS_UP, GET_RUNSTATE_INFO, REGISTER_RUNSTATE_MEMORY_AREA,
            SET_PERIODIC_TIMER, STOP_PERIODIC_TIMER, SET_SINGLESHOT_TIMER, STOP_SINGLESHOT_TIMER,
            REGISTER_VCPU_INFO, SEND_NMI, GET_PHYSID, REGISTER_VCPU_TIME_MEMORY_AREA,
        };
        "RUNSTATE_", lower: runstate::{RUNNING, RUNNABLE, BLOCKED, OFFLINE};
    }
    named! { table;
        vcpu::RUNSTATE_UPDATE = "XEN_RUNSTATE_UPDATE";
        vcpu::SSHOTTMR_FUTURE = "VCPU_SSHOTTMR_future";
    }
}

fn features(table: &mut Table) {
    use start_info::Sif;
    use version::xenfeat;
    numbers! { table;
        "XENVER_", lower: version::{
            VERSION, EXTRAVERSION, COMPILE_INFO, CAPABILITIES, CHANGESET, PLATFORM_PARAMETERS,
            GET_FEATURES, PAGESIZE, GUEST_HANDLE, COMMANDLINE, BUILD_ID,
        };
        "XEN_", upper: version::{EXTRAVERSION_LEN, CAPABILITIES_INFO_LEN, CHANGESET_INFO_LEN};
        "XENFEAT_", lower: xenfeat::{
            WRITABLE_PAGE_TABLES, WRITABLE_DESCRIPTOR_TABLES, AUTO_TRANSLATED_PHYSMAP,
            SUPERVISOR_MODE_KERNEL, PAE_PGDIR_ABOVE_4GB, MMU_PT_UPDATE_PRESERVE_AD, HIGHMEM_ASSIST,
            GNTTAB_MAP_AVAIL_BITS, HVM_CALLBACK_VECTOR, HVM_SAFE_PVCLOCK, HVM_PIRQS, DOM0,
            MEMORY_OP_VNODE_SUPPORTED, LINUX_RSDP_UNRESTRICTED, NOT_DIRECT_MAPPED, DIRECT_MAPPED,
        };
        "XENFEAT_", upper: xenfeat::{NR_SUBMAPS};
        "VMASST_CMD_", lower_tail: vm_assist::{CMD_ENABLE, CMD_DISABLE};
        "VMASST_TYPE_", lower_tail: vm_assist::{
            TYPE_4GB_SEGMENTS, TYPE_4GB_SEGMENTS_NOTIFY, TYPE_WRITABLE_PAGETABLES,
            TYPE_PAE_EXTENDED_CR3, TYPE_ARCHITECTURAL_IOPL, TYPE_RUNSTATE_UPDATE_FLAG,
            TYPE_M2P_STRICT,
        };
        "XEN_ELFNOTE_", upper: elfnote::{
            INFO, ENTRY, HYPERCALL_PAGE, VIRT_BASE, PADDR_OFFSET, XEN_VERSION, GUEST_OS,
            GUEST_VERSION, LOADER, PAE_MODE, FEATURES, BSD_SYMTAB, HV_START_LOW, L1_MFN_VALID,
            SUSPEND_CANCEL, INIT_P2M, MOD_START_PFN, SUPPORTED_FEATURES, PHYS32_ENTRY, MAX,
        };
        "XEN_", upper: shared_info::{PVCLOCK_TSC_STABLE_BIT, PVCLOCK_GUEST_STOPPED};
        "", upper: start_info::{MAX_GUEST_CMDLINE};
    }
    named! { table;
        version::COMMANDLINE_LEN = "sizeof(xen_commandline_t)";
        xenfeat::ARM_SMCCC_SUPPORTED = "XENFEAT_ARM_SMCCC_supported";
        Sif::PRIVILEGED.bits() = "SIF_PRIVILEGED";
        Sif::INITDOMAIN.bits() = "SIF_INITDOMAIN";
        Sif::MULTIBOOT_MOD.bits() = "SIF_MULTIBOOT_MOD";
        Sif::MOD_START_PFN.bits() = "SIF_MOD_START_PFN";
        Sif::VIRT_P2M_4TOOLS.bits() = "SIF_VIRT_P2M_4TOOLS";
        Sif::PM_MASK.bits() = "SIF_PM_MASK";
        console::CONSOLEIO_WRITE = "CONSOLEIO_write";
        console::CONSOLEIO_READ = "CONSOLEIO_read";
        callback::REGISTER = "CALLBACKOP_register";
        callback::UNREGISTER = "CALLBACKOP_unregister";
        callback::MASK_EVENTS = "CALLBACKF_mask_events";
        nmi::REGISTER_CALLBACK = "XENNMI_register_callback";
        nmi::UNREGISTER_CALLBACK = "XENNMI_unregister_callback";
        nmi::NMIREASON_IO_ERROR = "XEN_NMIREASON_io_error";
        nmi::NMIREASON_PCI_SERR = "XEN_NMIREASON_pci_serr";
        nmi::NMIREASON_UNKNOWN = "XEN_NMIREASON_unknown";
    }
}

fn devices(table: &mut Table) {
    use callback::kind;
    numbers! { table;
        "CALLBACKTYPE_", lower: kind::{
            EVENT, FAILSAFE, SYSCALL, SYSENTER_DEPRECATED, NMI, SYSENTER, SYSCALL32,
        };
        "PHYSDEVOP_", lower: physdev::{
            IRQ_STATUS_QUERY, SET_IOPL, SET_IOBITMAP, APIC_READ, APIC_WRITE, ALLOC_IRQ_VECTOR,
            FREE_IRQ_VECTOR, EOI, MAP_PIRQ, UNMAP_PIRQ, MANAGE_PCI_ADD, MANAGE_PCI_REMOVE,
            PIRQ_EOI_GMFN_V1, RESTORE_MSI, MANAGE_PCI_ADD_EXT, SETUP_GSI, GET_FREE_PIRQ,
            PCI_MMCFG_RESERVED, PCI_DEVICE_ADD, PCI_DEVICE_REMOVE, RESTORE_MSI_EXT,
            PIRQ_EOI_GMFN_V2, DBGP_OP, PREPARE_MSIX, RELEASE_MSIX,
        };
        "PHYSDEVOP_", upper: physdev::{IRQ_UNMASK_NOTIFY};
        "", upper: physdev::{
            MAP_PIRQ_TYPE_MSI, MAP_PIRQ_TYPE_GSI, MAP_PIRQ_TYPE_UNKNOWN, MAP_PIRQ_TYPE_MSI_SEG,
            MAP_PIRQ_TYPE_MULTI_MSI,
        };
        "XEN_", upper: physdev::{PCI_DEV_EXTFN, PCI_DEV_VIRTFN, PCI_DEV_PXM};
        "XENPF_", lower: platform::{
            SETTIME32, ADD_MEMTYPE, DEL_MEMTYPE, READ_MEMTYPE, MICROCODE_UPDATE, PLATFORM_QUIRK,
            GET_CPU_VERSION, EFI_RUNTIME_CALL, FIRMWARE_INFO, ENTER_ACPI_SLEEP, CHANGE_FREQ,
            GETIDLETIME, SET_PROCESSOR_PMINFO, GET_CPUINFO, CPU_ONLINE, CPU_OFFLINE, CPU_HOTADD,
            MEM_HOTADD, CORE_PARKING, RESOURCE_OP, SETTIME64, GET_SYMBOL,
        };
        "XEN_", upper: platform::{
            FW_DISK_INFO, FW_DISK_MBR_SIGNATURE, FW_VBEDDC_INFO, FW_EFI_INFO, FW_KBD_SHIFT_FLAGS,
            PCPU_FLAGS_ONLINE, PCPU_FLAGS_INVALID,
        };
        "XENPF_", upper: platform::{ACPI_SLEEP_EXTENDED};
    }
    named! { table;
        physdev::IRQSTAT_NEEDS_EOI = "XENIRQSTAT_needs_eoi";
        physdev::IRQSTAT_SHARED = "XENIRQSTAT_shared";
    }
}

fn domain_commands(table: &mut Table) {
    use domctl::cmd as domctl_cmd;
    numbers! { table;
        "XEN_DOMCTL_", lower: domctl_cmd::{
            CREATEDOMAIN, DESTROYDOMAIN, PAUSEDOMAIN, UNPAUSEDOMAIN, GETDOMAININFO,
            SETVCPUAFFINITY, SHADOW_OP, MAX_MEM, SETVCPUCONTEXT, GETVCPUCONTEXT, GETVCPUINFO,
            MAX_VCPUS, SCHEDULER_OP, SETDOMAINHANDLE, SETDEBUGGING, IRQ_PERMISSION,
            IOMEM_PERMISSION, IOPORT_PERMISSION, HYPERCALL_INIT, SETTIMEOFFSET, GETVCPUAFFINITY,
            RESUMEDOMAIN, SENDTRIGGER, SUBSCRIBE, GETHVMCONTEXT, SETHVMCONTEXT, SET_ADDRESS_SIZE,
            GET_ADDRESS_SIZE, ASSIGN_DEVICE, BIND_PT_IRQ, MEMORY_MAPPING, IOPORT_MAPPING,
            SET_EXT_VCPUCONTEXT, GET_EXT_VCPUCONTEXT, TEST_ASSIGN_DEVICE, SET_TARGET,
            DEASSIGN_DEVICE, UNBIND_PT_IRQ, GET_DEVICE_GROUP, DEBUG_OP, GETTSCINFO, SETTSCINFO,
            GETPAGEFRAMEINFO3, SETVCPUEXTSTATE, GETVCPUEXTSTATE, SET_VIRQ_HANDLER, SETNODEAFFINITY,
            GETNODEAFFINITY, GET_VCPU_MSRS, SET_VCPU_MSRS, SETVNUMAINFO, SOFT_RESET,
            GET_CPU_POLICY, SET_CPU_POLICY, GET_PAGING_MEMPOOL_SIZE, SET_PAGING_MEMPOOL_SIZE,
        };
    }
}

fn domain_values(table: &mut Table) {
    use domctl::{pfinfo, shadow, Cdf, Dominf};
    numbers! { table;
        "XEN_DOMCTL_PFINFO_", upper: pfinfo::{
            NOTAB, L1TAB, L2TAB, L3TAB, L4TAB, LTABTYPE_MASK, LPINTAB, XTAB, XALLOC, BROKEN,
            LTAB_MASK,
        };
        "XEN_DOMCTL_SHADOW_OP_", upper: shadow::{
            OFF, ENABLE_TEST, ENABLE_LOGDIRTY, CLEAN, PEEK, GET_ALLOCATION, SET_ALLOCATION, ENABLE,
        };
        "XEN_DOMCTL_SHADOW_", upper: shadow::{ENABLE_LOG_DIRTY, LOGDIRTY_FINAL};
        "XEN_VCPU", upper: domctl::{AFFINITY_HARD, AFFINITY_SOFT, AFFINITY_FORCE};
        "XEN_", upper: domctl::{
            SCHEDULER_CREDIT, SCHEDULER_CREDIT2, SCHEDULER_ARINC653, SCHEDULER_RTDS,
            SCHEDULER_NULL, INVALID_MAX_VCPU_ID,
        };
        "XEN_DOMCTL_SEND", upper: domctl::{
            TRIGGER_NMI, TRIGGER_RESET, TRIGGER_INIT, TRIGGER_POWER, TRIGGER_SLEEP,
        };
    }
    named! { table;
        domctl::SCHEDOP_PUTINFO = "XEN_DOMCTL_SCHEDOP_putinfo";
        domctl::SCHEDOP_GETINFO = "XEN_DOMCTL_SCHEDOP_getinfo";
        domctl::SCHEDOP_PUTVCPUINFO = "XEN_DOMCTL_SCHEDOP_putvcpuinfo";
        domctl::SCHEDOP_GETVCPUINFO = "XEN_DOMCTL_SCHEDOP_getvcpuinfo";
        domctl::GRANT_VERSION_MASK = "XEN_DOMCTL_GRANT_version_mask";
        Cdf::HVM.bits() = "XEN_DOMCTL_CDF_hvm";
        Cdf::HAP.bits() = "XEN_DOMCTL_CDF_hap";
        Cdf::S3_INTEGRITY.bits() = "XEN_DOMCTL_CDF_s3_integrity";
        Cdf::OOS_OFF.bits() = "XEN_DOMCTL_CDF_oos_off";
        Cdf::XS_DOMAIN.bits() = "XEN_DOMCTL_CDF_xs_domain";
        Cdf::IOMMU.bits() = "XEN_DOMCTL_CDF_iommu";
        Cdf::NESTED_VIRT.bits() = "XEN_DOMCTL_CDF_nested_virt";
        Cdf::VPMU.bits() = "XEN_DOMCTL_CDF_vpmu";
        Dominf::DYING.bits() = "XEN_DOMINF_dying";
        Dominf::HVM_GUEST.bits() = "XEN_DOMINF_hvm_guest";
        Dominf::SHUTDOWN.bits() = "XEN_DOMINF_shutdown";
        Dominf::PAUSED.bits() = "XEN_DOMINF_paused";
        Dominf::BLOCKED.bits() = "XEN_DOMINF_blocked";
        Dominf::RUNNING.bits() = "XEN_DOMINF_running";
        Dominf::DEBUGGED.bits() = "XEN_DOMINF_debugged";
        Dominf::XS_DOMAIN.bits() = "XEN_DOMINF_xs_domain";
        Dominf::HAP.bits() = "XEN_DOMINF_hap";
        Dominf::SHUTDOWN_MASK.bits() = "XEN_DOMINF_shutdownmask << XEN_DOMINF_shutdownshift";
        Dominf::SHUTDOWN_SHIFT = "XEN_DOMINF_shutdownshift";
    }
}

fn system_commands(table: &mut Table) {
    use sysctl::{cmd as sysctl_cmd, PhysCap};
    numbers! { table;
        "XEN_SYSCTL_", lower: sysctl_cmd::{
            READCONSOLE, TBUF_OP, PHYSINFO, SCHED_ID, PERFC_OP, GETDOMAININFOLIST, DEBUG_KEYS,
            GETCPUINFO, AVAILHEAP, GET_PMSTAT, CPU_HOTPLUG, PM_OP, PAGE_OFFLINE_OP, LOCKPROF_OP,
            CPUTOPOINFO, NUMAINFO, CPUPOOL_OP, SCHEDULER_OP, COVERAGE_OP, PSR_CMT_OP, PCITOPOINFO,
            PSR_ALLOC, GET_CPU_LEVELLING_CAPS, GET_CPU_FEATURESET, LIVEPATCH_OP, GET_CPU_POLICY,
        };
        "XEN_SYSCTL_", upper: sysctl::{
            CPUPOOL_OP_CREATE, CPUPOOL_OP_DESTROY, CPUPOOL_OP_INFO, CPUPOOL_OP_ADDCPU,
            CPUPOOL_OP_RMCPU, CPUPOOL_OP_MOVEDOMAIN, CPUPOOL_OP_FREEINFO, CPUPOOL_PAR_ANY,
        };
        "XEN_SYSCTL_cpu_", lower: sysctl::{
            FEATURESET_RAW, FEATURESET_HOST, FEATURESET_PV, FEATURESET_HVM, FEATURESET_PV_MAX,
            FEATURESET_HVM_MAX, POLICY_RAW, POLICY_HOST, POLICY_PV_MAX, POLICY_HVM_MAX,
            POLICY_PV_DEFAULT, POLICY_HVM_DEFAULT,
        };
    }
    named! { table;
        sysctl::INVALID_TOPO_ID = "XEN_INVALID_CORE_ID";
        PhysCap::HVM.bits() = "XEN_SYSCTL_PHYSCAP_hvm";
        PhysCap::PV.bits() = "XEN_SYSCTL_PHYSCAP_pv";
        PhysCap::DIRECTIO.bits() = "XEN_SYSCTL_PHYSCAP_directio";
        PhysCap::HAP.bits() = "XEN_SYSCTL_PHYSCAP_hap";
        PhysCap::SHADOW.bits() = "XEN_SYSCTL_PHYSCAP_shadow";
        PhysCap::IOMMU_HAP_PT_SHARE.bits() = "XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share";
        PhysCap::VMTRACE.bits() = "XEN_SYSCTL_PHYSCAP_vmtrace";
        PhysCap::VPMU.bits() = "XEN_SYSCTL_PHYSCAP_vpmu";
        PhysCap::GNTTAB_V1.bits() = "XEN_SYSCTL_PHYSCAP_gnttab_v1";
        PhysCap::GNTTAB_V2.bits() = "XEN_SYSCTL_PHYSCAP_gnttab_v2";
    }
}

fn rings(table: &mut Table) {
    use io::{console, xenbus, xs_wire};
    numbers! { table;
        "XS_", upper_tail: xs_wire::{
            XS_CONTROL, XS_DIRECTORY, XS_READ, XS_GET_PERMS, XS_WATCH, XS_UNWATCH,
            XS_TRANSACTION_START, XS_TRANSACTION_END, XS_INTRODUCE, XS_RELEASE, XS_GET_DOMAIN_PATH,
            XS_WRITE, XS_MKDIR, XS_RM, XS_SET_PERMS, XS_WATCH_EVENT, XS_ERROR,
            XS_IS_DOMAIN_INTRODUCED, XS_RESUME, XS_SET_TARGET, XS_RESET_WATCHES, XS_DIRECTORY_PART,
            XS_TYPE_COUNT, XS_INVALID,
        };
        "XENSTORE_", upper: xs_wire::{
            PAYLOAD_MAX, ABS_PATH_MAX, REL_PATH_MAX, RING_SIZE, SERVER_FEATURE_RECONNECTION,
            SERVER_FEATURE_ERROR, CONNECTED, RECONNECT, ERROR_NONE, ERROR_COMM, ERROR_RINGIDX,
            ERROR_PROTO,
        };
    }
    named! { table;
        console::IN_SIZE = "sizeof(((struct xencons_interface *)0)->in)";
        console::OUT_SIZE = "sizeof(((struct xencons_interface *)0)->out)";
        xenbus::STATE_UNKNOWN = "XenbusStateUnknown";
        xenbus::STATE_INITIALISING = "XenbusStateInitialising";
        xenbus::STATE_INIT_WAIT = "XenbusStateInitWait";
        xenbus::STATE_INITIALISED = "XenbusStateInitialised";
        xenbus::STATE_CONNECTED = "XenbusStateConnected";
        xenbus::STATE_CLOSING = "XenbusStateClosing";
        xenbus::STATE_CLOSED = "XenbusStateClosed";
        xenbus::STATE_RECONFIGURING = "XenbusStateReconfiguring";
        xenbus::STATE_RECONFIGURED = "XenbusStateReconfigured";
    }
}

fn devices_of_guests(table: &mut Table) {
    use io::{block, net};
    numbers! { table;
        "BLKIF_", upper: block::{
            OP_READ, OP_WRITE, OP_WRITE_BARRIER, OP_FLUSH_DISKCACHE, OP_DISCARD, OP_INDIRECT,
            MAX_SEGMENTS_PER_REQUEST, MAX_INDIRECT_PAGES_PER_REQUEST, RSP_OKAY, RSP_ERROR,
            RSP_EOPNOTSUPP,
        };
        "", upper: block::{VDISK_CDROM, VDISK_REMOVABLE, VDISK_READONLY};
        "XEN_NETIF_", upper: net::{
            NR_SLOTS_MIN, MAX_TX_SIZE, EXTRA_TYPE_NONE, EXTRA_TYPE_GSO, EXTRA_TYPE_MCAST_ADD,
            EXTRA_TYPE_MCAST_DEL, EXTRA_TYPE_HASH, EXTRA_FLAG_MORE, GSO_TYPE_TCPV4, GSO_TYPE_TCPV6,
        };
        "NETIF_", upper: net::{RSP_DROPPED, RSP_ERROR, RSP_OKAY, RSP_NULL};
        "NETTXF_", lower_tail: net::{
            TXF_CSUM_BLANK, TXF_DATA_VALIDATED, TXF_MORE_DATA, TXF_EXTRA_INFO,
        };
        "NETRXF_", lower_tail: net::{
            RXF_DATA_VALIDATED, RXF_CSUM_BLANK, RXF_MORE_DATA, RXF_EXTRA_INFO, RXF_GSO_PREFIX,
        };
    }
}
