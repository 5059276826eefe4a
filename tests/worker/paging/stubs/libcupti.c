/* The part of libcupti that ftbench calls, without a GPU. A test hands it records; it keeps CUPTI's contract:
 * buffers are asked for and completed on a thread of its own, one client, 64 or 104 bytes a record.
 * What goes wrong is chosen by the environment: STUB_FAIL="cuptiSubscribe=39", and the STUB_ names below. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void (*request_function)(uint8_t **, size_t *, size_t *);
typedef void (*complete_function)(void *, uint32_t, uint8_t *, size_t, size_t);
typedef struct { int scope, kind; uint32_t device, enable; } config;

enum { PREFIX = 64, MOST = 100000, END_OF_BUFFER = 12, INVALID_KIND = 21, OTHER_CLIENT = 39, UVM = 25 };

static request_function request;
static complete_function complete;
static uint8_t (*queue)[PREFIX];
static size_t queued, handed, dropped;
static long timestamps;
static int client, enabled, counters;

static long setting(const char *name, long otherwise) {
    const char *said = getenv(name);
    return said ? atol(said) : otherwise;
}

static int refusal(const char *call) {
    const char *said = getenv("STUB_FAIL");
    size_t length = strlen(call);
    return said && !strncmp(said, call, length) && said[length] == '=' ? atoi(said + length + 1) : 0;
}

static size_t record_bytes(void) { return (size_t)setting("STUB_RECORD_BYTES", 104); }

/* For tests: another profiler is there already; what is still on (1 client, 2 counters); how many were configured. */
void stub_other_client(void) { client = 1; }
int stub_still_on(void) { return client | enabled << 1; }
int stub_configured(void) { return counters; }

/* For tests: a page moved or a fault was served. STUB_LOSE=n: the driver's queue loses every n-th without a word.
 * STUB_LATE: attached too late, nothing is reported. */
void stub_emit(const uint8_t *record) {
    static size_t seen;
    long lose = setting("STUB_LOSE", 0);
    seen++;
    if (!enabled || getenv("STUB_LATE") || (lose && seen % (size_t)lose == 0) || queued == MOST) return;
    if (!queue) queue = malloc(sizeof *queue * MOST);
    memcpy(queue[queued++], record, PREFIX);
}

static void give_back(uint8_t *buffer, size_t size, size_t used) {
    if (!buffer || getenv("STUB_KEEP")) return; /* never given back */
    complete(NULL, 0, buffer, size, getenv("STUB_OVERSTATE") ? size + 1 : used);
}

/* Two buffers are out at a time, as when one is being read and the next is being filled. */
static void *deliver(void *unused) {
    size_t bytes = record_bytes(), last_size = 0, last_used = 0;
    uint8_t *last = NULL;
    (void)unused;
    while (handed < queued) {
        uint8_t *buffer = NULL;
        size_t size = 0, most = 0, used = 0;
        request(&buffer, &size, &most);
        if (!buffer || size < bytes) {
            dropped += queued - handed;
            handed = queued;
            break;
        }
        memset(buffer, 0, size);
        for (; handed < queued && used + bytes <= size; used += bytes) memcpy(buffer + used, queue[handed++], PREFIX);
        give_back(last, last_size, last_used);
        last = buffer, last_size = size, last_used = used;
    }
    give_back(last, last_size, last_used);
    if (getenv("STUB_FOREIGN")) complete(NULL, 0, (uint8_t *)8, 1 << 20, 1 << 20); /* an address nobody may read */
    return NULL;
}

/* For tests, through a call that keeps the GIL: the deadlock in which CUPTI waits for our callback. */
int stub_deliver(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, deliver, NULL)) return 999;
    pthread_join(thread, NULL);
    return 0;
}

int cuptiGetVersion(uint32_t *version) {
    *version = (uint32_t)setting("STUB_API", 130001);
    return refusal("cuptiGetVersion");
}

/* STUB_STEP_AFTER=n: after n readings the time of day was set, by STUB_STEP_NS. */
int cuptiGetTimestamp(uint64_t *ns) {
    struct timespec now;
    long after = setting("STUB_STEP_AFTER", -1);
    clock_gettime(CLOCK_REALTIME, &now);
    *ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (after >= 0 && timestamps++ >= after) *ns += (uint64_t)setting("STUB_STEP_NS", 0);
    return refusal("cuptiGetTimestamp");
}

int cuptiSubscribe(void **handle, void *callback, void *user) {
    (void)user;
    if (refusal("cuptiSubscribe")) return refusal("cuptiSubscribe");
    if (client || !callback) return OTHER_CLIENT;
    client = 1;
    *handle = &client;
    return 0;
}

int cuptiUnsubscribe(void *handle) {
    if (handle != &client) return 1;
    client = 0;
    return refusal("cuptiUnsubscribe");
}

int cuptiActivityRegisterCallbacks(request_function ask, complete_function done) {
    request = ask;
    complete = done;
    return refusal("cuptiActivityRegisterCallbacks");
}

int cuptiActivityConfigureUnifiedMemoryCounter(config *wanted, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (wanted[i].kind < 1 || wanted[i].kind > 8 || wanted[i].enable != 1) return 1;
    counters = (int)count;
    return refusal("cuptiActivityConfigureUnifiedMemoryCounter");
}

int cuptiActivityEnable(int kind) {
    if (refusal("cuptiActivityEnable")) return refusal("cuptiActivityEnable");
    if (kind != UVM || !counters) return INVALID_KIND;
    enabled = 1;
    return 0;
}

int cuptiActivityDisable(int kind) {
    if (kind != UVM) return INVALID_KIND;
    enabled = 0;
    return refusal("cuptiActivityDisable");
}

/* A flush that is not forced gives back nothing here, as while records are incomplete. */
int cuptiActivityFlushAll(uint32_t forced) {
    if (refusal("cuptiActivityFlushAll")) return refusal("cuptiActivityFlushAll");
    return forced ? stub_deliver() : 0;
}

/* STUB_PARSER_BYTES: the parser's idea of a record, where it differs from what was delivered. */
int cuptiActivityGetNextRecord(uint8_t *buffer, size_t valid, uint8_t **record) {
    size_t bytes = (size_t)setting("STUB_PARSER_BYTES", (long)record_bytes());
    uint8_t *next = *record ? *record + bytes : buffer;
    int32_t kind;
    if (next + bytes > buffer + valid) return END_OF_BUFFER;
    memcpy(&kind, next, sizeof kind);
    if (kind != UVM) return INVALID_KIND;
    *record = next;
    return 0;
}

int cuptiActivityGetNumDroppedRecords(void *context, uint32_t stream, size_t *count) {
    (void)context, (void)stream;
    *count = dropped + (size_t)setting("STUB_DROPPED", 0);
    return refusal("cuptiActivityGetNumDroppedRecords");
}
