/* The driver calls a ballast makes. cuMemAlloc_v2 refuses more than STUB_CUDA_ROOM bytes with 2 (out of memory). */
#include <stdint.h>
#include <stdlib.h>

int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGet(int *device, int number) { return *device = number, 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = (void *)1, device; }
int cuCtxSetCurrent(void *context) { return context ? 0 : 201; }
int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    const char *room = getenv("STUB_CUDA_ROOM");
    return *address = 4096, bytes > strtoull(room ? room : "0", NULL, 10) ? 2 : 0;
}
