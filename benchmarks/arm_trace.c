/* Plugin of qemu-user (API 1, QEMU 6 to 9): writes each executed instruction, 4 bytes, to a file.

   cc -O2 -shared -fPIC -o arm_trace.so arm_trace.c
   qemu-aarch64 -plugin ./arm_trace.so,low=0x..,high=0x..,out=FILE PROGRAM

   Only instructions from address `low` up to `high` are written. With begin=0x..,end=0x.. instead,
   they are those from each execution of the instruction at `begin`, for which 0 is written, to
   that at `end`. QEMU's header is not needed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *),
                                            int flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

int qemu_plugin_version = 1;
static uint64_t low, high = UINT64_MAX, begin, end;
static int is_on = 1;
static FILE *out;

static void executed(unsigned cpu, void *data) {
  uint32_t instruction = (uint32_t)(uintptr_t)data;
  (void)cpu;
  if (is_on) fwrite(&instruction, sizeof instruction, 1, out);
}

static void turned(unsigned cpu, void *data) {
  (void)cpu;
  is_on = data != 0;
  executed(cpu, 0);
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
  size_t count = qemu_plugin_tb_n_insns(block);
  (void)id;
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn *one = qemu_plugin_tb_get_insn(block, i);
    uint64_t address = qemu_plugin_insn_vaddr(one);
    uint32_t instruction;
    if (address < low || address >= high) continue;
    if (begin && (address == begin || address == end)) {
      void *on = (void *)(uintptr_t)(address == begin);
      qemu_plugin_register_vcpu_insn_exec_cb(one, turned, 0, on);
      continue;
    }
    memcpy(&instruction, qemu_plugin_insn_data(one), sizeof instruction);
    qemu_plugin_register_vcpu_insn_exec_cb(one, executed, 0, (void *)(uintptr_t)instruction);
  }
}

static void finished(plugin_id id, void *data) {
  (void)id;
  (void)data;
  fclose(out);
}

int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments) {
  (void)info;
  for (int i = 0; i < count; i++) {
    char *value = strchr(arguments[i], '=');
    if (!value) return 1;
    if (!strncmp(arguments[i], "low=", 4)) low = strtoull(value + 1, 0, 0);
    if (!strncmp(arguments[i], "high=", 5)) high = strtoull(value + 1, 0, 0);
    if (!strncmp(arguments[i], "begin=", 6)) begin = strtoull(value + 1, 0, 0);
    if (!strncmp(arguments[i], "end=", 4)) end = strtoull(value + 1, 0, 0);
    if (!strncmp(arguments[i], "out=", 4)) out = fopen(value + 1, "wb");
  }
  is_on = begin == 0;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, finished, 0);
  return out == 0;
}
