/* SPDX-License-Identifier: MIT */
/* The smallest steering programs, loaded without a library. */
#ifndef STEER_PROG_H
#define STEER_PROG_H

#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/** steer_load() - A program of @type. @at of -1: it says @value; else the byte there in the frame.
 *  Return: owned descriptor; -1 and errno. */
static inline int steer_load(enum bpf_prog_type type, int at, int value)
{
	const struct bpf_insn prog[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		at < 0 ? (struct bpf_insn) { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = value }
		       : (struct bpf_insn) { .code = BPF_LD | BPF_ABS | BPF_B, .imm = at },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.insns = (uintptr_t)prog;
	attr.insn_cnt = sizeof(prog) / sizeof(prog[0]);
	attr.license = (uintptr_t) "MIT";
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

/** steer_pin() - Give it a name in bpffs. Return: 0; -1 and errno. */
static inline int steer_pin(int fd, const char *path)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.pathname = (uintptr_t)path;
	attr.bpf_fd = (uint32_t)fd;
	return (int)syscall(SYS_bpf, BPF_OBJ_PIN, &attr, sizeof(attr));
}

#endif
