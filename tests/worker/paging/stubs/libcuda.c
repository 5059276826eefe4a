/* The part of libcuda that ftbench calls, without a GPU. Managed memory is ordinary memory with a mark of how many of
 * its first bytes are away on the host; a prefetch that moves something says so to the libcupti stub, if it is there.
 * -DOLD_PREFETCH: a driver before CUDA 12.2. STUB_CUDA_FAIL="cuMemAllocManaged=801" refuses a call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { int type, id; } location;
typedef struct { int32_t activity, kind; uint64_t value, start, end, address; uint32_t rest[6]; } record;

enum { HTOD = 1, DTOH = 2, MOST = 64, ON_HOST = 2, CONCURRENT = 89, HOST_PAGE_TABLES = 100 };

static struct { uint64_t address; size_t size, away; } managed[MOST];
static struct { int place, to_host; size_t bytes; } moves[MOST];
static int waiting;
static char said[1 << 16];

const char *stub_said(void) { return said; }

static void say(const char *call, const char *arguments) {
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s(%s)\n", call, arguments);
}

static int refusal(const char *call) {
    const char *set = getenv("STUB_CUDA_FAIL");
    size_t length = strlen(call);
    return set && !strncmp(set, call, length) && set[length] == '=' ? atoi(set + length + 1) : 0;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void report(int kind, uint64_t address, size_t bytes) {
    void (*emit)(const void *) = (void (*)(const void *))dlsym(RTLD_DEFAULT, "stub_emit");
    for (size_t done = 0; emit && done < bytes; done += 2 << 20) {
        record one = {25, kind, bytes - done < 2 << 20 ? bytes - done : 2 << 20, now(), 0, address + done, {0}};
        one.end = one.start + 1;
        one.rest[4] = 1; /* cause: user */
        emit(&one);
    }
}

static int place_of(uint64_t address, size_t bytes) {
    for (int i = 0; i < MOST; i++)
        if (managed[i].size && managed[i].address == address && bytes <= managed[i].size) return i;
    return -1;
}

/* A prefetch is queued; pages move when somebody waits. */
static int queue_move(uint64_t address, size_t bytes, int to_host) {
    if (place_of(address, bytes) < 0) return 1; /* CUDA_ERROR_INVALID_VALUE */
    if (waiting == MOST) return 2;
    moves[waiting].place = place_of(address, bytes);
    moves[waiting].bytes = bytes;
    moves[waiting++].to_host = to_host;
    return 0;
}

static void finish(void) {
    for (int i = 0; i < waiting; i++) {
        uint64_t address = managed[moves[i].place].address;
        size_t bytes = moves[i].bytes, *away = &managed[moves[i].place].away;
        if (moves[i].to_host && bytes > *away) report(DTOH, address + *away, bytes - *away), *away = bytes;
        if (!moves[i].to_host) report(HTOD, address, bytes < *away ? bytes : *away), *away = bytes < *away ? *away : 0;
    }
    waiting = 0;
}

#ifdef OLD_PREFETCH
int cuMemPrefetchAsync(uint64_t address, size_t bytes, int device, void *stream) {
    char text[128];
    snprintf(text, sizeof text, "+%zu, %d, %p", bytes, device, stream);
    say("cuMemPrefetchAsync", text);
    return refusal("cuMemPrefetchAsync") ? refusal("cuMemPrefetchAsync") : queue_move(address, bytes, device == -1);
}
#else
int cuMemPrefetchAsync(uint64_t address, size_t bytes, int device, void *stream) {
    (void)address, (void)bytes, (void)device, (void)stream;
    say("old cuMemPrefetchAsync", "although there is a new one");
    return 0;
}

int cuMemPrefetchAsync_v2(uint64_t address, size_t bytes, location place, unsigned flags, void *stream) {
    char text[128];
    snprintf(text, sizeof text, "+%zu, {%d, %d}, %u, %p", bytes, place.type, place.id, flags, stream);
    say("cuMemPrefetchAsync_v2", text);
    return refusal("cuMemPrefetchAsync") ? refusal("cuMemPrefetchAsync") : queue_move(address, bytes, place.type == ON_HOST);
}
#endif

int cuMemAllocManaged(uint64_t *address, size_t bytes, unsigned flags) {
    if (refusal("cuMemAllocManaged")) return refusal("cuMemAllocManaged");
    for (int i = 0; i < MOST; i++) {
        if (managed[i].size) continue;
        void *memory = flags == 1 ? aligned_alloc(2 << 20, (bytes + (2 << 20) - 1) >> 21 << 21) : NULL;
        if (!memory) return 2;
        managed[i].address = *address = (uint64_t)(uintptr_t)memory;
        managed[i].size = managed[i].away = bytes;
        say("cuMemAllocManaged", "");
        return 0;
    }
    return 2; /* CUDA_ERROR_OUT_OF_MEMORY */
}

int cuMemFree_v2(uint64_t address) {
    int place = place_of(address, 0);
    if (place < 0) return 1;
    finish(); /* as the driver does: freeing waits */
    managed[place].size = 0;
    free((void *)(uintptr_t)address);
    say("cuMemFree_v2", "");
    return 0;
}

int cuCtxSynchronize(void) {
    finish();
    say("cuCtxSynchronize", "");
    return refusal("cuCtxSynchronize");
}

/* Handles differ from ordinals here, so that nobody takes one for the other. */
int cuDeviceGet(int *handle, int ordinal) {
    *handle = ordinal + 70;
    return ordinal == 0 || ordinal == 1 ? 0 : 101;
}

int cuDeviceGetAttribute(int *value, int attribute, int handle) {
    if (handle != 70 && handle != 71) return 101;
    *value = attribute == CONCURRENT ? handle == 70 : attribute == HOST_PAGE_TABLES ? handle == 71 : -1;
    return 0;
}

int cuGetErrorName(int code, const char **name) {
    *name = code == 1 ? "CUDA_ERROR_INVALID_VALUE" : code == 101 ? "CUDA_ERROR_INVALID_DEVICE" : NULL;
    return *name ? 0 : 1;
}
