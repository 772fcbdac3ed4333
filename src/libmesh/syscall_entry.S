// syscall() of libc, with the same contract: all numbers go to MeshInterposedSyscall()
// (interpose_syscall.cc), but for those that return, or end, on another stack than they came on.
//
// Assembler, because their way may not have a frame: a child of clone with a stack of its own
// returns from the system call on that stack, and a child of vfork spoils its parent's. Nor may it
// write to the caller's argument area,
// which a compiler may do for a tail call: a caller that passed fewer arguments has locals there.
// Room: libmesh. Thread rule: any thread, and inside signal handlers.
#include <asm/unistd.h>

        .hidden MeshInspectClone
        .hidden MeshInterposedSyscall
        .hidden MeshSyscallFailed

        .text
        .globl syscall
        .type syscall, %function
        .p2align 4
#if defined(__x86_64__)
syscall:
        .cfi_startproc
        cmpq $__NR_clone, %rdi
        je .Lclone
        cmpq $__NR_clone3, %rdi
        je .Lclone
        cmpq $__NR_vfork, %rdi
        je .Lkernel
        cmpq $__NR_rt_sigreturn, %rdi
        jne .Linterposed
.Lkernel:
        movq %rdi, %rax
        movq %rsi, %rdi
        movq %rdx, %rsi
        movq %rcx, %rdx
        movq %r8, %r10
        movq %r9, %r8
        movq 8(%rsp), %r9
        syscall
        cmpq $-4095, %rax
        jae .Lfailed
        ret
.Lfailed:
        movq %rax, %rdi
        jmp MeshSyscallFailed
.Lclone:
        pushq %rdi
        .cfi_adjust_cfa_offset 8
        pushq %rsi
        .cfi_adjust_cfa_offset 8
        pushq %rdx
        .cfi_adjust_cfa_offset 8
        pushq %rcx
        .cfi_adjust_cfa_offset 8
        pushq %r8
        .cfi_adjust_cfa_offset 8
        pushq %r9
        .cfi_adjust_cfa_offset 8
        subq $8, %rsp                   // the stack is now aligned to 16
        .cfi_adjust_cfa_offset 8
        call MeshInspectClone
        addq $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq %r9
        .cfi_adjust_cfa_offset -8
        popq %r8
        .cfi_adjust_cfa_offset -8
        popq %rcx
        .cfi_adjust_cfa_offset -8
        popq %rdx
        .cfi_adjust_cfa_offset -8
        popq %rsi
        .cfi_adjust_cfa_offset -8
        popq %rdi
        .cfi_adjust_cfa_offset -8
        testl %eax, %eax
        jz .Lkernel
.Linterposed:
        xorl %eax, %eax                 // no vector registers hold arguments
        jmp MeshInterposedSyscall
        .cfi_endproc
#elif defined(__aarch64__)
syscall:
        .cfi_startproc
        cmp x0, #__NR_clone
        b.eq .Lclone
        cmp x0, #__NR_clone3
        b.eq .Lclone
        cmp x0, #__NR_rt_sigreturn
        b.ne .Linterposed
.Lkernel:
        mov x8, x0
        mov x0, x1
        mov x1, x2
        mov x2, x3
        mov x3, x4
        mov x4, x5
        mov x5, x6
        svc #0
        cmn x0, #4095
        b.hs .Lfailed
        ret
.Lfailed:
        b MeshSyscallFailed
.Lclone:
        stp x29, x30, [sp, #-80]!
        .cfi_adjust_cfa_offset 80
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp x0, x1, [sp, #16]
        stp x2, x3, [sp, #32]
        stp x4, x5, [sp, #48]
        str x6, [sp, #64]
        bl MeshInspectClone
        mov w9, w0
        ldp x0, x1, [sp, #16]
        ldp x2, x3, [sp, #32]
        ldp x4, x5, [sp, #48]
        ldr x6, [sp, #64]
        ldp x29, x30, [sp], #80
        .cfi_adjust_cfa_offset -80
        .cfi_restore x29
        .cfi_restore x30
        cbz w9, .Lkernel
.Linterposed:
        b MeshInterposedSyscall
        .cfi_endproc
#else
#error "Mesh runs on x86-64 and aarch64"
#endif
        .size syscall, .-syscall
        .section .note.GNU-stack, "", %progbits
