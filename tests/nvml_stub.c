/* A made-up libnvidia-ml.so.1: answers from the text file $NVML_STUB, read anew at every call.
 *
 * A line is "<key> <value>". A function of a GPU looks for "gpu0.<fact>", of a MIG instance for
 * "gpu0mig1.<fact>"; a fact that is not there is NVML_ERROR_NOT_SUPPORTED, a value "!<n>" is
 * error <n>, and "@<seconds> <value>" comes late. Built with -DOLD it lacks what drivers before 510 lack.
 * Written after NVIDIA's documentation of the NVML API.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, ALREADY, NOT_FOUND, INSUFFICIENT_SIZE };
#define VERSION_MISMATCH 25
#define BOARDS 8
#define PARTS 8

typedef struct { char prefix[32]; int board; } Device;
typedef unsigned long long u64;

static Device boards[BOARDS], parts[BOARDS][PARTS];
static int opened;

/* Look a key up; the answer is an NVML return code. */
static int look(const char *key, char *value, size_t size)
{
    char line[512];
    size_t length = strlen(key);
    int found = 0;
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    }
    if (file) fclose(file);
    if (!found) return NOT_SUPPORTED;
    if (value[0] == '!') return atoi(value + 1);
    if (value[0] == '@') {
        usleep((useconds_t)(atof(value + 1) * 1e6));
        memmove(value, strchr(value, ' ') + 1, strlen(strchr(value, ' ')));
    }
    return SUCCESS;
}

static int text(Device *device, const char *fact, char *value, size_t size)
{
    char key[96];
    if (!opened) return UNINITIALIZED;
    if (!device) return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "%s.%s", device->prefix, fact);
    return look(key, value, size);
}

static int number(Device *device, const char *fact, u64 *value)
{
    char found[512];
    int code = text(device, fact, found, sizeof found);
    if (code == SUCCESS) *value = strtoull(found, NULL, 0);
    return code;
}

static int small(Device *device, const char *fact, unsigned *value)
{
    u64 found = 0;
    int code = number(device, fact, &found);
    if (code == SUCCESS) *value = (unsigned)found;
    return code;
}

static int pair(Device *device, const char *fact, unsigned *first, unsigned *second)
{
    char found[512];
    int code = text(device, fact, found, sizeof found);
    if (code == SUCCESS) sscanf(found, "%u,%u", first, second);
    return code;
}

static int count(void)
{
    char found[512];
    return look("count", found, sizeof found) == SUCCESS ? atoi(found) : 0;
}

int nvmlInitWithFlags(unsigned flags)
{
    char found[512];
    int code = look("init", found, sizeof found);
    (void)flags;
    if (code != SUCCESS && code != NOT_SUPPORTED) return code;
    for (int b = 0; b < BOARDS; b++) {
        boards[b].board = b;
        snprintf(boards[b].prefix, sizeof boards[b].prefix, "gpu%d", b);
        for (int p = 0; p < PARTS; p++) {
            parts[b][p].board = b;
            snprintf(parts[b][p].prefix, sizeof parts[b][p].prefix, "gpu%dmig%d", b, p);
        }
    }
    opened++;
    return SUCCESS;
}

int nvmlShutdown(void) { return opened ? (opened--, SUCCESS) : UNINITIALIZED; }
int stubOpened(void) { return opened; }
const char *nvmlErrorString(int code) { return code == VERSION_MISMATCH ? "Argument Version Mismatch" : "Stub Error"; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { return look("driver", to, size); }

int nvmlSystemGetCudaDriverVersion_v2(int *to)
{
    char found[512];
    int code = look("cuda", found, sizeof found);
    if (code == SUCCESS) *to = atoi(found);
    return code;
}

int nvmlDeviceGetCount_v2(unsigned *to) { *to = (unsigned)count(); return opened ? SUCCESS : UNINITIALIZED; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **to)
{
    if (index >= (unsigned)count()) return INVALID_ARGUMENT;
    *to = &boards[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **to)
{
    char found[512];
    for (int b = 0; b < count(); b++) {
        for (int p = -1; p < PARTS; p++) {
            Device *device = p < 0 ? &boards[b] : &parts[b][p];
            if (text(device, "uuid", found, sizeof found) == SUCCESS && strcmp(found, uuid) == 0) {
                *to = device;
                return SUCCESS;
            }
        }
    }
    return NOT_FOUND;
}

int nvmlDeviceGetName(Device *d, char *to, unsigned size) { return text(d, "name", to, size); }
int nvmlDeviceGetUUID(Device *d, char *to, unsigned size) { return text(d, "uuid", to, size); }
int nvmlDeviceGetVbiosVersion(Device *d, char *to, unsigned size) { return text(d, "vbios", to, size); }

/* memory: "<total>,<reserved>,<used>" */
static int memory(Device *d, u64 *total, u64 *reserved, u64 *used)
{
    char found[512];
    int code = text(d, "memory", found, sizeof found);
    if (code == SUCCESS) sscanf(found, "%llu,%llu,%llu", total, reserved, used);
    return code;
}

int nvmlDeviceGetMemoryInfo(Device *d, u64 to[3])
{
    u64 reserved = 0;
    int code = memory(d, &to[0], &reserved, &to[2]);
    to[2] += reserved;
    to[1] = to[0] - to[2];
    return code;
}

#ifndef OLD
typedef struct { unsigned version; u64 total, reserved, free, used; } MemoryV2;

int nvmlDeviceGetMemoryInfo_v2(Device *d, MemoryV2 *to)
{
    int code;
    if (to->version != (sizeof(MemoryV2) | 2u << 24)) return VERSION_MISMATCH;
    code = memory(d, &to->total, &to->reserved, &to->used);
    to->free = to->total - to->reserved - to->used;
    return code;
}

typedef struct { unsigned pid; u64 used; unsigned gpuInstance, computeInstance; } Process;

/* processes: "<pid>:<bytes>,..." with "self" for this process and "na" for bytes that are not told; "-" for none */
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *size, Process *to)
{
    char found[512], *word, *rest = found;
    unsigned n = 0, room = *size;
    int code = text(d, "processes", found, sizeof found);
    if (code != SUCCESS) return code;
    while ((word = strtok_r(rest, ",", &rest))) {
        char *colon = strchr(word, ':');
        if (!colon) continue;
        if (to && n < room) {
            to[n].pid = strncmp(word, "self", 4) == 0 ? (unsigned)getpid() : (unsigned)atoi(word);
            to[n].used = strcmp(colon + 1, "na") == 0 ? ~0ull : strtoull(colon + 1, NULL, 0);
            to[n].gpuInstance = to[n].computeInstance = ~0u;
        }
        n++;
    }
    *size = n;
    return n > room ? INSUFFICIENT_SIZE : SUCCESS;
}

typedef struct { unsigned version, value; } Mode;
int nvmlDeviceGetAddressingMode(Device *d, Mode *to) { return small(d, "addressing", &to->value); }
int nvmlDeviceGetNumGpuCores(Device *d, unsigned *to) { return small(d, "cores", to); }
#endif

typedef union { double d; unsigned u; unsigned long ul; u64 ull; long long sll; int s; unsigned short us; } Value;
typedef struct { unsigned field, scope; long long stamp, latency; unsigned type; int code; Value value; } Field;

/* field<n>: an unsigned 64-bit value, or "u<value>" for one of 32 bits, or "?<type>" for a type of that number */
int nvmlDeviceGetFieldValues(Device *d, int n, Field *fields)
{
    char found[512], fact[32];
    if (text(d, "fields", found, sizeof found) != NOT_SUPPORTED) return text(d, "fields", found, sizeof found);
    for (int i = 0; i < n; i++) {
        snprintf(fact, sizeof fact, "field%u", fields[i].field);
        fields[i].code = text(d, fact, found, sizeof found);
        memset(&fields[i].value, 0xff, sizeof fields[i].value);
        if (fields[i].code != SUCCESS) continue;
        fields[i].type = found[0] == 'u' ? 1 : found[0] == '?' ? (unsigned)atoi(found + 1) : 3;
        if (found[0] == 'u') fields[i].value.u = (unsigned)strtoul(found + 1, NULL, 0);
        else fields[i].value.ull = strtoull(found, NULL, 0);
    }
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksEventReasons(Device *d, u64 *to) { return number(d, "reasons", to); }
int nvmlDeviceGetTotalEnergyConsumption(Device *d, u64 *to) { return number(d, "energy", to); }

static int clock_of(Device *d, const char *which, unsigned type, unsigned *to)
{
    char fact[32];
    snprintf(fact, sizeof fact, "%s%u", which, type);
    return small(d, fact, to);
}

int nvmlDeviceGetClockInfo(Device *d, unsigned type, unsigned *to) { return clock_of(d, "clock", type, to); }
int nvmlDeviceGetMaxClockInfo(Device *d, unsigned type, unsigned *to) { return clock_of(d, "maxclock", type, to); }
int nvmlDeviceGetTemperature(Device *d, unsigned sensor, unsigned *to)
{
    return sensor == 0 ? small(d, "temperature", to) : INVALID_ARGUMENT;
}

int nvmlDeviceGetPowerManagementLimit(Device *d, unsigned *to) { return small(d, "power", to); }
int nvmlDeviceGetPowerManagementDefaultLimit(Device *d, unsigned *to) { return small(d, "power.default", to); }
int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *to) { return small(d, "power.enforced", to); }
int nvmlDeviceGetPowerManagementLimitConstraints(Device *d, unsigned *low, unsigned *high)
{
    return pair(d, "power.range", low, high);
}

int nvmlDeviceGetEccMode(Device *d, unsigned *now, unsigned *next) { return pair(d, "ecc", now, next); }
int nvmlDeviceGetMigMode(Device *d, unsigned *now, unsigned *next) { return pair(d, "mig", now, next); }
int nvmlDeviceGetCudaComputeCapability(Device *d, unsigned *a, unsigned *b) { return pair(d, "capability", a, b); }
int nvmlDeviceGetPersistenceMode(Device *d, unsigned *to) { return small(d, "persistence", to); }
int nvmlDeviceGetComputeMode(Device *d, unsigned *to) { return small(d, "compute", to); }
int nvmlDeviceGetCurrPcieLinkGeneration(Device *d, unsigned *to) { return small(d, "pcie.generation", to); }
int nvmlDeviceGetMaxPcieLinkGeneration(Device *d, unsigned *to) { return small(d, "pcie.generation.max", to); }
int nvmlDeviceGetCurrPcieLinkWidth(Device *d, unsigned *to) { return small(d, "pcie.width", to); }
int nvmlDeviceGetMaxPcieLinkWidth(Device *d, unsigned *to) { return small(d, "pcie.width.max", to); }
int nvmlDeviceGetMemoryBusWidth(Device *d, unsigned *to) { return small(d, "bus", to); }

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
int nvmlDeviceGetPciInfo_v3(Device *d, Pci *to) { return text(d, "pci", to->bus_id, sizeof to->bus_id); }

typedef struct { unsigned environment, feature, tools; } Confidential;
int nvmlSystemGetConfComputeState(Confidential *to)
{
    char found[512];
    int code = look("confidential", found, sizeof found);
    if (code == SUCCESS) to->feature = (unsigned)atoi(found);
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *to) { *to = d ? PARTS : 0; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned index, Device **to)
{
    char found[512];
    if (index >= PARTS || text(&parts[d->board][index], "uuid", found, sizeof found) != SUCCESS) return NOT_FOUND;
    *to = &parts[d->board][index];
    return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *d, Device **to)
{
    if (!strstr(d->prefix, "mig")) return INVALID_ARGUMENT;
    *to = &boards[d->board];
    return SUCCESS;
}

typedef struct { unsigned multiprocessors, engines[7]; u64 megabytes; } Attributes;
int nvmlDeviceGetAttributes_v2(Device *d, Attributes *to) { return small(d, "multiprocessors", &to->multiprocessors); }
