// A CUDA runtime, driver and NVML without a GPU: they hand out addresses and count bytes against a capacity.
// Together they are all that libc10_cuda.so of torch 2.13 needs to run its caching allocator.

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>

namespace {

size_t next_address = size_t{1} << 40;
size_t used = 0;
std::map<void*, size_t> segments;
std::map<CUmemGenericAllocationHandle, size_t> handles;
CUmemGenericAllocationHandle next_handle = 1;

size_t capacity() {
  static const size_t bytes = std::strtoull(std::getenv("CAPACITY"), nullptr, 10);
  return bytes;
}

bool take(size_t size) {
  if (used + size > capacity()) return false;
  used += size;
  return true;
}

size_t addresses(size_t size) {
  auto first = next_address;
  next_address += size;
  return first;
}

CUresult reserve_addresses(CUdeviceptr* first, size_t size, size_t, CUdeviceptr, unsigned long long) {
  *first = addresses(size);
  return CUDA_SUCCESS;
}

CUresult create_handle(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp*, unsigned long long) {
  if (!take(size)) return CUDA_ERROR_OUT_OF_MEMORY;
  handles[*handle = next_handle++] = size;
  return CUDA_SUCCESS;
}

CUresult release_handle(CUmemGenericAllocationHandle handle) {
  used -= handles.at(handle);
  handles.erase(handle);
  return CUDA_SUCCESS;
}

CUresult no_attribute(int* value, CUdevice_attribute, CUdevice) {
  *value = 0;
  return CUDA_SUCCESS;
}

CUresult error_words(CUresult, const char** words) {
  *words = "an error of the driver";
  return CUDA_SUCCESS;
}

CUresult succeed() { return CUDA_SUCCESS; }

void* driver_function(std::string_view name) {
  if (name == "cuMemAddressReserve") return reinterpret_cast<void*>(reserve_addresses);
  if (name == "cuMemCreate") return reinterpret_cast<void*>(create_handle);
  if (name == "cuMemRelease") return reinterpret_cast<void*>(release_handle);
  if (name == "cuDeviceGetAttribute") return reinterpret_cast<void*>(no_attribute);
  if (name == "cuGetErrorString") return reinterpret_cast<void*>(error_words);
  return reinterpret_cast<void*>(succeed);
}

}  // namespace

#define SUCCEEDS(name, ...) \
  cudaError_t name(__VA_ARGS__) { return cudaSuccess; }

extern "C" {

cudaError_t cudaMalloc(void** first, size_t size) {
  if (!take(size)) return cudaErrorMemoryAllocation;
  *first = reinterpret_cast<void*>(addresses(size));
  segments[*first] = size;
  return cudaSuccess;
}

cudaError_t cudaFree(void* first) {
  used -= segments.at(first);
  segments.erase(first);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = capacity() - used;
  *total = capacity();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof(*properties));
  properties->totalGlobalMem = capacity();
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(
    const char* name, void** function, unsigned, unsigned long long, cudaDriverEntryPointQueryResult* found) {
  if (found) *found = cudaDriverEntryPointSuccess;
  *function = driver_function(name);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(
    cudaStream_t, cudaStreamCaptureStatus* status, unsigned long long*, cudaGraph_t*, const cudaGraphNode_t**,
    const cudaGraphEdgeData**, size_t*) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = *greatest = 0;
  return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the runtime"; }

SUCCEEDS(cudaDeviceCanAccessPeer, int*, int, int)
SUCCEEDS(cudaDeviceEnablePeerAccess, int, unsigned)
SUCCEEDS(cudaDeviceGetDefaultMemPool, cudaMemPool_t*, int)
SUCCEEDS(cudaDeviceSynchronize)
SUCCEEDS(cudaEventCreateWithFlags, cudaEvent_t*, unsigned)
SUCCEEDS(cudaEventDestroy, cudaEvent_t)
SUCCEEDS(cudaEventElapsedTime, float*, cudaEvent_t, cudaEvent_t)
SUCCEEDS(cudaEventQuery, cudaEvent_t)
SUCCEEDS(cudaEventRecord, cudaEvent_t, cudaStream_t)
SUCCEEDS(cudaEventSynchronize, cudaEvent_t)
SUCCEEDS(cudaFreeAsync, void*, cudaStream_t)
SUCCEEDS(cudaGetLastError)
SUCCEEDS(cudaGraphNodeGetDependencies, cudaGraphNode_t, cudaGraphNode_t*, cudaGraphEdgeData*, size_t*)
SUCCEEDS(cudaIpcCloseMemHandle, void*)
SUCCEEDS(cudaIpcGetMemHandle, cudaIpcMemHandle_t*, void*)
SUCCEEDS(cudaIpcOpenMemHandle, void**, cudaIpcMemHandle_t, unsigned)
SUCCEEDS(cudaMallocAsync, void**, size_t, cudaStream_t)
SUCCEEDS(cudaMemPoolGetAttribute, cudaMemPool_t, cudaMemPoolAttr, void*)
SUCCEEDS(cudaMemPoolSetAccess, cudaMemPool_t, const cudaMemAccessDesc*, size_t)
SUCCEEDS(cudaMemPoolSetAttribute, cudaMemPool_t, cudaMemPoolAttr, void*)
SUCCEEDS(cudaMemPoolTrimTo, cudaMemPool_t, size_t)
SUCCEEDS(cudaMemcpy, void*, const void*, size_t, cudaMemcpyKind)
SUCCEEDS(cudaMemcpyAsync, void*, const void*, size_t, cudaMemcpyKind, cudaStream_t)
SUCCEEDS(cudaMemcpyPeerAsync, void*, int, const void*, int, size_t, cudaStream_t)
SUCCEEDS(cudaSetDevice, int)
SUCCEEDS(cudaStreamCreateWithPriority, cudaStream_t*, unsigned, int)
SUCCEEDS(cudaStreamQuery, cudaStream_t)
SUCCEEDS(cudaStreamSynchronize, cudaStream_t)
SUCCEEDS(cudaStreamWaitEvent, cudaStream_t, cudaEvent_t, unsigned)
SUCCEEDS(cudaThreadExchangeStreamCaptureMode, cudaStreamCaptureMode*)

int nvmlInit_v2() { return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int*) { return 0; }
int nvmlDeviceGetGpuFabricInfoV(void*, void*) { return 0; }
int nvmlDeviceGetNvLinkRemoteDeviceType() { return 3; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2() { return 3; }
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
  *device = nullptr;
  return 0;
}
int nvmlDeviceGetComputeRunningProcesses(void*, unsigned* count, void*) {
  *count = 0;
  return 0;
}

}  // extern "C"
