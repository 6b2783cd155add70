//! The structures, field by field. Padding is not listed: it has no name in C.

use crate::table::{structs, Table};
use hypercall_abi::{
    callback, domctl, evtchn, grant, memory, mmu, multicall, nmi, physdev, platform, regs, sched,
    shared_info, start_info, sysctl, vcpu, version, xen,
};

/// Adds every structure.
pub fn fill(table: &mut Table) {
    cpu(table);
    memory_and_tables(table);
    events(table);
    grants(table);
    scheduling(table);
    pages(table);
    devices(table);
    platforms(table);
    domain_control(table);
    vcpu_control(table);
    system_control(table);
    rings(table);
}

fn cpu(table: &mut Table) {
    structs! { table;
        regs::CpuUserRegs = "struct cpu_user_regs" {
            r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, error_code,
            entry_vector, rip, cs, saved_upcall_mask, rflags, rsp, ss, es, ds, fs, gs
        };
        regs::TrapInfo = "struct trap_info" { vector, flags, cs, address };
        regs::VcpuGuestContext = "struct vcpu_guest_context" {
            fpu_ctxt, flags, user_regs, trap_ctxt, ldt_base, ldt_ents, gdt_frames, gdt_ents,
            kernel_ss, kernel_sp, ctrlreg, debugreg, event_callback_eip, failsafe_callback_eip,
            syscall_callback_eip, vm_assist, fs_base, gs_base_kernel, gs_base_user
        };
        regs::IretContext = "struct iret_context" {
            rax, r11, rcx, flags, rip, cs, rflags, rsp, ss
        };
        callback::CallbackRegister = "struct callback_register" {
            kind = "type", flags, address
        };
        callback::CallbackUnregister = "struct callback_unregister" { kind = "type", _unused };
        nmi::XennmiCallback = "struct xennmi_callback" { handler_address, pad };
        multicall::MulticallEntry = "struct multicall_entry" { op, result, args };
    }
}

fn memory_and_tables(table: &mut Table) {
    structs! { table;
        mmu::MmuUpdate = "struct mmu_update" { ptr, val };
        mmu::MmuextOp = "struct mmuext_op" { cmd, arg1, arg2 };
        memory::XenMemoryReservation = "struct xen_memory_reservation" {
            extent_start, nr_extents, extent_order, mem_flags, domid
        };
        memory::XenMemoryExchange = "struct xen_memory_exchange" { r#in, out, nr_exchanged };
        memory::XenMemoryDomain = "struct xen_memory_domain" { domid };
        memory::XenMachphysMfnList = "struct xen_machphys_mfn_list" {
            max_extents, extent_start, nr_extents
        };
        memory::XenMachphysMapping = "struct xen_machphys_mapping" { v_start, v_end, max_mfn };
        memory::XenMemoryMap = "struct xen_memory_map" { nr_entries, buffer };
        memory::XenForeignMemoryMap = "struct xen_foreign_memory_map" { domid, map };
        memory::XenMemAcquireResource = "struct xen_mem_acquire_resource" {
            domid, kind = "type", id, nr_frames, pad, frame, frame_list
        };
        memory::XenReservedDeviceMemoryMap = "struct xen_reserved_device_memory_map" {
            flags, nr_entries, buffer, dev
        };
        memory::XenReservedDeviceMemory = "struct xen_reserved_device_memory" {
            start_pfn, nr_pages
        };
    }
}

fn events(table: &mut Table) {
    use hypercall_abi::evtchn::fifo;
    structs! { table;
        evtchn::EvtchnAllocUnbound = "struct evtchn_alloc_unbound" { dom, remote_dom, port };
        evtchn::EvtchnBindInterdomain = "struct evtchn_bind_interdomain" {
            remote_dom, remote_port, local_port
        };
        evtchn::EvtchnBindVirq = "struct evtchn_bind_virq" { virq, vcpu, port };
        evtchn::EvtchnBindPirq = "struct evtchn_bind_pirq" { pirq, flags, port };
        evtchn::EvtchnBindIpi = "struct evtchn_bind_ipi" { vcpu, port };
        evtchn::EvtchnClose = "struct evtchn_close" { port };
        evtchn::EvtchnSend = "struct evtchn_send" { port };
        evtchn::EvtchnStatus = "struct evtchn_status" { dom, port, status, vcpu, detail = "u" };
        evtchn::EvtchnBindVcpu = "struct evtchn_bind_vcpu" { port, vcpu };
        evtchn::EvtchnUnmask = "struct evtchn_unmask" { port };
        evtchn::EvtchnReset = "struct evtchn_reset" { dom };
        evtchn::EvtchnInitControl = "struct evtchn_init_control" {
            control_gfn, offset, vcpu, link_bits
        };
        evtchn::EvtchnExpandArray = "struct evtchn_expand_array" { array_gfn };
        evtchn::EvtchnSetPriority = "struct evtchn_set_priority" { port, priority };
        fifo::EvtchnFifoControlBlock = "struct evtchn_fifo_control_block" { ready, _rsvd, head };
    }
}

fn grants(table: &mut Table) {
    structs! { table;
        grant::GrantEntryV1 = "struct grant_entry_v1" { flags, domid, frame };
        grant::GnttabMapGrantRef = "struct gnttab_map_grant_ref" {
            host_addr, flags, gref = "ref", dom, status, handle, dev_bus_addr
        };
        grant::GnttabUnmapGrantRef = "struct gnttab_unmap_grant_ref" {
            host_addr, dev_bus_addr, handle, status
        };
        grant::GnttabSetupTable = "struct gnttab_setup_table" {
            dom, nr_frames, status, frame_list
        };
        grant::GnttabDumpTable = "struct gnttab_dump_table" { dom, status };
        grant::GnttabTransfer = "struct gnttab_transfer" { mfn, domid, gref = "ref", status };
        grant::GnttabCopyPtr = "struct gnttab_copy_ptr" { u, domid, offset };
        grant::GnttabCopy = "struct gnttab_copy" { source, dest, len, flags, status };
        grant::GnttabQuerySize = "struct gnttab_query_size" {
            dom, nr_frames, max_nr_frames, status
        };
        grant::GnttabUnmapAndReplace = "struct gnttab_unmap_and_replace" {
            host_addr, new_addr, handle, status
        };
        grant::GnttabSetVersion = "struct gnttab_set_version" { version };
        grant::GnttabGetStatusFrames = "struct gnttab_get_status_frames" {
            nr_frames, dom, status, frame_list
        };
        grant::GnttabGetVersion = "struct gnttab_get_version" { dom, version };
        grant::GnttabSwapGrantRef = "struct gnttab_swap_grant_ref" { ref_a, ref_b, status };
    }
}

fn scheduling(table: &mut Table) {
    structs! { table;
        sched::SchedShutdown = "struct sched_shutdown" { reason };
        sched::SchedPoll = "struct sched_poll" { ports, nr_ports, timeout_ns = "timeout" };
        sched::SchedRemoteShutdown = "struct sched_remote_shutdown" { domain_id, reason };
        sched::SchedWatchdog = "struct sched_watchdog" { id, timeout_s = "timeout" };
        sched::SchedPinOverride = "struct sched_pin_override" { pcpu };
        vcpu::VcpuRunstateInfo = "struct vcpu_runstate_info" {
            state, state_entry_time_ns = "state_entry_time", time_ns = "time"
        };
        vcpu::VcpuRegisterRunstateMemoryArea = "struct vcpu_register_runstate_memory_area" { addr };
        vcpu::VcpuSetPeriodicTimer = "struct vcpu_set_periodic_timer" { period_ns };
        vcpu::VcpuSetSingleshotTimer = "struct vcpu_set_singleshot_timer" {
            timeout_abs_ns, flags
        };
        vcpu::VcpuRegisterVcpuInfo = "struct vcpu_register_vcpu_info" { mfn, offset, rsvd };
        vcpu::VcpuGetPhysid = "struct vcpu_get_physid" { phys_id };
        vcpu::VcpuRegisterTimeMemoryArea = "struct vcpu_register_time_memory_area" { addr };
    }
}

fn pages(table: &mut Table) {
    structs! { table;
        version::XenCompileInfo = "struct xen_compile_info" {
            compiler, compile_by, compile_domain, compile_date
        };
        version::XenPlatformParameters = "struct xen_platform_parameters" { virt_start };
        version::XenFeatureInfo = "struct xen_feature_info" { submap_idx, submap };
        version::XenBuildId = "struct xen_build_id" { len };
        shared_info::VcpuTimeInfo = "struct vcpu_time_info" {
            version, tsc_timestamp, system_time_ns = "system_time", tsc_to_system_mul, tsc_shift,
            flags
        };
        shared_info::ArchVcpuInfo = "struct arch_vcpu_info" { cr2, pad };
        shared_info::VcpuInfo = "struct vcpu_info" {
            evtchn_upcall_pending, evtchn_upcall_mask, evtchn_pending_sel, arch, time
        };
        shared_info::ArchSharedInfo = "struct arch_shared_info" {
            max_pfn, pfn_to_mfn_frame_list_list, nmi_reason, p2m_cr3, p2m_vaddr, p2m_generation
        };
        shared_info::SharedInfo = "struct shared_info" {
            vcpu_info, evtchn_pending, evtchn_mask, wc_version, wc_sec, wc_nsec, wc_sec_hi, arch
        };
        start_info::StartInfo = "struct start_info" {
            magic, nr_pages, shared_info_maddr = "shared_info", flags, store_mfn, store_evtchn,
            console_mfn = "console.domU.mfn", console_evtchn = "console.domU.evtchn", pt_base,
            nr_pt_frames, mfn_list, mod_start, mod_len, cmd_line, first_p2m_pfn, nr_p2m_frames
        };
        xen::XenctlBitmap = "struct xenctl_bitmap" { bitmap, nr_bits };
        xen::XenArchDomainconfig = "struct xen_arch_domainconfig" { emulation_flags, misc_flags };
        xen::XenCpuidLeaf = "xen_cpuid_leaf_t" { leaf, subleaf, a, b, c, d };
        xen::XenMsrEntry = "xen_msr_entry_t" { idx, flags, val };
    }
}

fn devices(table: &mut Table) {
    structs! { table;
        physdev::PhysdevEoi = "struct physdev_eoi" { irq };
        physdev::PhysdevPirqEoiGmfn = "struct physdev_pirq_eoi_gmfn" { gmfn };
        physdev::PhysdevIrqStatusQuery = "struct physdev_irq_status_query" { irq, flags };
        physdev::PhysdevSetIopl = "struct physdev_set_iopl" { iopl };
        physdev::PhysdevSetIobitmap = "struct physdev_set_iobitmap" { bitmap, nr_ports };
        physdev::PhysdevApic = "struct physdev_apic" { apic_physbase, reg, value };
        physdev::PhysdevIrq = "struct physdev_irq" { irq, vector };
        physdev::PhysdevMapPirq = "struct physdev_map_pirq" {
            domid, kind = "type", index, pirq, bus, devfn, entry_nr, table_base
        };
        physdev::PhysdevUnmapPirq = "struct physdev_unmap_pirq" { domid, pirq };
        physdev::PhysdevSetupGsi = "struct physdev_setup_gsi" { gsi, triggering, polarity };
        physdev::PhysdevGetFreePirq = "struct physdev_get_free_pirq" { kind = "type", pirq };
        physdev::PhysdevPciMmcfgReserved = "struct physdev_pci_mmcfg_reserved" {
            address, segment, start_bus, end_bus, flags
        };
        physdev::PhysdevPciDevice = "struct physdev_pci_device" { seg, bus, devfn };
        physdev::PhysdevPciDeviceAdd = "struct physdev_pci_device_add" {
            seg, bus, devfn, flags, physfn
        };
    }
}

fn platforms(table: &mut Table) {
    structs! { table;
        platform::XenPlatformOp = "struct xen_platform_op" { cmd, interface_version, u };
        platform::XenpfSettime32 = "struct xenpf_settime32" {
            secs, nsecs, system_time_ns = "system_time"
        };
        platform::XenpfSettime64 = "struct xenpf_settime64" {
            secs, nsecs, mbz, system_time_ns = "system_time"
        };
        platform::XenpfFirmwareInfo = "struct xenpf_firmware_info" { kind = "type", index, u };
        platform::XenpfEnterAcpiSleep = "struct xenpf_enter_acpi_sleep" {
            val_a, val_b, sleep_state, flags
        };
        platform::XenpfGetidletime = "struct xenpf_getidletime" {
            cpumap_bitmap, cpumap_nr_cpus, idletime, now_ns = "now"
        };
        platform::XenpfPcpuinfo = "struct xenpf_pcpuinfo" {
            xen_cpuid, max_present, flags, apic_id, acpi_id
        };
        platform::XenpfPcpuVersion = "struct xenpf_pcpu_version" {
            xen_cpuid, max_present, vendor_id, family, model, stepping
        };
        platform::XenpfCpuOl = "struct xenpf_cpu_ol" { cpuid };
    }
}

fn domain_control(table: &mut Table) {
    structs! { table;
        domctl::XenDomctl = "struct xen_domctl" { cmd, interface_version, domain, u };
        domctl::CreateDomain = "struct xen_domctl_createdomain" {
            ssidref, handle, flags, iommu_opts, max_vcpus, max_evtchn_port, max_grant_frames,
            max_maptrack_frames, grant_opts, vmtrace_size, cpupool_id, arch
        };
        domctl::GetDomainInfo = "struct xen_domctl_getdomaininfo" {
            domain, flags, tot_pages, max_pages, outstanding_pages, shr_pages, paged_pages,
            shared_info_frame, cpu_time_ns = "cpu_time", nr_online_vcpus, max_vcpu_id, ssidref,
            handle, cpupool, gpaddr_bits, arch_config
        };
        domctl::GetPageFrameInfo3 = "struct xen_domctl_getpageframeinfo3" { num, array };
        domctl::ShadowOpStats = "struct xen_domctl_shadow_op_stats" { fault_count, dirty_count };
        domctl::ShadowOp = "struct xen_domctl_shadow_op" {
            op, mode, mb, dirty_bitmap, pages, stats
        };
        domctl::MaxMem = "struct xen_domctl_max_mem" { max_memkb };
        domctl::SetDomainHandle = "struct xen_domctl_setdomainhandle" { handle };
        domctl::SetDebugging = "struct xen_domctl_setdebugging" { enable };
        domctl::HypercallInit = "struct xen_domctl_hypercall_init" { gmfn };
        domctl::SetTimeOffset = "struct xen_domctl_settimeoffset" {
            time_offset_s = "time_offset_seconds"
        };
        domctl::AddressSize = "struct xen_domctl_address_size" { size };
        domctl::Subscribe = "struct xen_domctl_subscribe" { port };
        domctl::SetTarget = "struct xen_domctl_set_target" { target };
        domctl::TscInfo = "struct xen_domctl_tsc_info" {
            tsc_mode, gtsc_khz, incarnation, elapsed_ns = "elapsed_nsec"
        };
        domctl::NodeAffinity = "struct xen_domctl_nodeaffinity" { nodemap };
        domctl::PagingMempool = "struct xen_domctl_paging_mempool" { size };
        domctl::Vnuma = "struct xen_domctl_vnuma" {
            nr_vnodes, nr_vmemranges, nr_vcpus, vdistance, vcpu_to_vnode, vnode_to_pnode, vmemrange
        };
        domctl::IrqPermission = "struct xen_domctl_irq_permission" { pirq, allow_access };
        domctl::IomemPermission = "struct xen_domctl_iomem_permission" {
            first_mfn, nr_mfns, allow_access
        };
        domctl::IoportPermission = "struct xen_domctl_ioport_permission" {
            first_port, nr_ports, allow_access
        };
        domctl::MemoryMapping = "struct xen_domctl_memory_mapping" {
            first_gfn, first_mfn, nr_mfns, add_mapping
        };
        domctl::SetVirqHandler = "struct xen_domctl_set_virq_handler" { virq };
        domctl::CpuPolicy = "struct xen_domctl_cpu_policy" {
            nr_leaves, nr_msrs, leaves, msrs, err_leaf, err_subleaf, err_msr
        };
    }
}

fn vcpu_control(table: &mut Table) {
    structs! { table;
        domctl::VcpuContext = "struct xen_domctl_vcpucontext" { vcpu, ctxt };
        domctl::GetVcpuInfo = "struct xen_domctl_getvcpuinfo" {
            vcpu, online, blocked, running, cpu_time_ns = "cpu_time", cpu
        };
        domctl::MaxVcpus = "struct xen_domctl_max_vcpus" { max };
        domctl::VcpuAffinity = "struct xen_domctl_vcpuaffinity" {
            vcpu, flags, cpumap_hard, cpumap_soft
        };
        domctl::SchedulerOp = "struct xen_domctl_scheduler_op" {
            sched_id, cmd, weight = "u.credit2.weight", cap = "u.credit2.cap"
        };
        domctl::SendTrigger = "struct xen_domctl_sendtrigger" { trigger, vcpu };
        domctl::ExtVcpuContext = "struct xen_domctl_ext_vcpucontext" {
            vcpu, size, syscall32_callback_eip, sysenter_callback_eip, syscall32_callback_cs,
            sysenter_callback_cs, syscall32_disables_events, sysenter_disables_events, mcg_cap
        };
        domctl::VcpuExtState = "struct xen_domctl_vcpuextstate" {
            vcpu, xfeature_mask, size, buffer
        };
        domctl::VcpuMsrs = "struct xen_domctl_vcpu_msrs" { vcpu, msr_count, msrs };
        domctl::VcpuMsr = "struct xen_domctl_vcpu_msr" { index, reserved, value };
    }
}

fn system_control(table: &mut Table) {
    structs! { table;
        sysctl::XenSysctl = "struct xen_sysctl" { cmd, interface_version, u };
        sysctl::ReadConsole = "struct xen_sysctl_readconsole" {
            clear, incremental, index, buffer, count
        };
        sysctl::PhysInfo = "struct xen_sysctl_physinfo" {
            threads_per_core, cores_per_socket, nr_cpus, max_cpu_id, nr_nodes, max_node_id,
            cpu_khz, capabilities, arch_capabilities, total_pages, free_pages, scrub_pages,
            outstanding_pages, max_mfn, hw_cap
        };
        sysctl::SchedId = "struct xen_sysctl_sched_id" { sched_id };
        sysctl::GetDomainInfoList = "struct xen_sysctl_getdomaininfolist" {
            first_domain, max_domains, buffer, num_domains
        };
        sysctl::DebugKeys = "struct xen_sysctl_debug_keys" { keys, nr_keys };
        sysctl::AvailHeap = "struct xen_sysctl_availheap" {
            min_bitwidth, max_bitwidth, node, avail_bytes
        };
        sysctl::NumaInfo = "struct xen_sysctl_numainfo" { num_nodes, meminfo, distance };
        sysctl::MemInfo = "struct xen_sysctl_meminfo" { memsize, memfree };
        sysctl::GetCpuInfo = "struct xen_sysctl_getcpuinfo" { max_cpus, info, nr_cpus };
        sysctl::CpuInfo = "struct xen_sysctl_cpuinfo" { idletime_ns = "idletime" };
        sysctl::CpuTopoInfo = "struct xen_sysctl_cputopoinfo" { num_cpus, cputopo };
        sysctl::CpuTopo = "struct xen_sysctl_cputopo" { core, socket, node };
        sysctl::CpupoolOp = "struct xen_sysctl_cpupool_op" {
            op, cpupool_id, sched_id, domid, cpu, n_dom, cpumap
        };
        sysctl::CpuLevellingCaps = "struct xen_sysctl_cpu_levelling_caps" { caps };
        sysctl::CpuFeatureset = "struct xen_sysctl_cpu_featureset" {
            index, nr_features, features
        };
        sysctl::SystemCpuPolicy = "struct xen_sysctl_cpu_policy" {
            index, nr_leaves, nr_msrs, _rsvd, leaves, msrs
        };
    }
}

fn rings(table: &mut Table) {
    use hypercall_abi::io::{block, console, net, ring, xs_wire};
    structs! { table;
        console::XenconsInterface = "struct xencons_interface" {
            r#in, out, in_cons, in_prod, out_cons, out_prod
        };
        xs_wire::XsdSockmsg = "struct xsd_sockmsg" { kind = "type", req_id, tx_id, len };
        xs_wire::XenstoreDomainInterface = "struct xenstore_domain_interface" {
            req, rsp, req_cons, req_prod, rsp_cons, rsp_prod, server_features, connection, error
        };
        block::BlkifRequestSegment = "struct blkif_request_segment" {
            gref, first_sect, last_sect
        };
        block::BlkifRequest = "struct blkif_request" {
            operation, nr_segments, handle, id, sector_number, seg
        };
        block::BlkifRequestDiscard = "struct blkif_request_discard" {
            operation, flag, handle, id, sector_number, nr_sectors
        };
        block::BlkifRequestIndirect = "struct blkif_request_indirect" {
            operation, indirect_op, nr_segments, id, sector_number, handle, indirect_grefs
        };
        block::BlkifResponse = "struct blkif_response" { id, operation, status };
        net::NetifTxRequest = "struct netif_tx_request" { gref, offset, flags, id, size };
        net::NetifExtraInfo = "struct netif_extra_info" { kind = "type", flags, u };
        net::NetifTxResponse = "struct netif_tx_response" { id, status };
        net::NetifRxRequest = "struct netif_rx_request" { id, pad, gref };
        net::NetifRxResponse = "struct netif_rx_response" { id, offset, flags, status };
    }
    // A ring type exists in C only together with its slots; the head is what lies before them.
    table.cover("ring::SringHeader");
    let heads = [
        ("ring::SringHeader", "offsetof(struct blkif_sring, ring)", ring::HEADER_SIZE),
        (
            "ring::SringHeader.req_event",
            "offsetof(struct blkif_sring, req_event)",
            std::mem::offset_of!(ring::SringHeader, req_event),
        ),
        (
            "ring::SringHeader.rsp_prod",
            "offsetof(struct blkif_sring, rsp_prod)",
            std::mem::offset_of!(ring::SringHeader, rsp_prod),
        ),
        (
            "ring::SringHeader.rsp_event",
            "offsetof(struct blkif_sring, rsp_event)",
            std::mem::offset_of!(ring::SringHeader, rsp_event),
        ),
        (
            "ring::slots_per_page(block)",
            "__CONST_RING_SIZE(blkif, 4096)",
            ring::slots_per_page(size_of::<block::BlkifRequest>()) as usize,
        ),
        (
            "ring::slots_per_page(transmit)",
            "__CONST_RING_SIZE(netif_tx, 4096)",
            ring::slots_per_page(size_of::<net::NetifTxRequest>()) as usize,
        ),
    ];
    for (name, c_expr, value) in heads {
        table.push(name.to_string(), c_expr.to_string(), value as u64);
    }
}
