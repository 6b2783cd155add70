# What the image tells the builder of a domain: Xen's notes (`xen/include/public/elfnote.h`).
#
# Read from the file by whoever starts it: the hypervisor for the first domain, the toolstack for others.
# The bare machine's counterpart is the header in multiboot.S.

    .globl _start
    .set _start, start                            # of entry.S

    .section .note.Xen, "a", @note
    .macro note_text type, text
    .balign 4
    .long 4, 8f - 7f, \type
    .asciz "Xen"
7:  .asciz "\text"
8:  .balign 4
    .endm
    .macro note_number type, value
    .balign 4
    .long 4, 8, \type
    .asciz "Xen"
    .quad \value
    .endm
    note_text   6, "pvkernel"                     # GUEST_OS
    note_text   7, "1"                            # GUEST_VERSION
    note_text   5, "xen-3.0"                      # XEN_VERSION
    note_text   8, "generic"                      # LOADER
    note_text   9, "yes"                          # PAE_MODE
    note_text  10, "!writable_page_tables|pae_pgdir_above_4gb|dom0"  # FEATURES
    note_number 3, VIRT_BASE                      # VIRT_BASE
    note_number 1, _start                         # ENTRY
    note_number 12, 0xffff800000000000            # HV_START_LOW
    note_number 17, 0x890                         # SUPPORTED_FEATURES: bits 4, 7, 11
    .text
