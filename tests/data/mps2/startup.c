/* Vectors and reset of a Cortex-M on an MPS2 board; newlib's semihosting start does the rest. */
#include <stdint.h>

void __stack(void); /* the linker script's end of memory; declared so that a vector may hold it */
void _start(void);

void reset(void) {
#if defined(__ARM_FP)
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the floating-point unit */
  __asm__ volatile("dsb\n isb");
#endif
  _start();
  for (;;) {
  }
}

static void fault(void) {
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    __stack, reset, fault, fault, fault, fault, fault};
