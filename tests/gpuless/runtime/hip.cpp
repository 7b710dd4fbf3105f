// A pretend HIP runtime.  Device memory is host memory; a module is a shared object that
// kernel_build.py made; everything is done by the time a call returns.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace {
enum {
  SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2, BAD_DEVICE = 101, LAUNCH_FAILED = 719,
  NOT_SUPPORTED = 801
};
enum { HOST_TO_DEVICE = 1, DEVICE_TO_HOST = 2, DEFAULT = 4 };
constexpr size_t max_dynamic_shared = 48 << 10;

size_t setting(const char* name, size_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}
int device_count = setting("GPULESS_DEVICES", 1);
size_t memory_size = setting("GPULESS_MEMORY", size_t(8) << 30);  // bytes, each device

struct Block {
  size_t size;
  int device;
};
std::mutex mutex;  // over what follows, and over launches: kernels share their fibers
std::map<const char*, Block> blocks;
std::map<int, size_t> used;
long launches, copies_to_host, copies_to_device;
thread_local int current_device;
thread_local int pending;  // an error that the next call of the thread reports
thread_local std::string reason;

const Block* find(const void* p) {
  auto at = blocks.upper_bound((const char*)p);
  if (at == blocks.begin()) return nullptr;
  --at;
  return (const char*)p < at->first + at->second.size ? &at->second : nullptr;
}
size_t free_bytes() {  // of the current device
  size_t taken = used[current_device];
  return memory_size > taken ? memory_size - taken : 0;
}
int fail(int status, const std::string& why) { return reason = "gpuless: " + why, status; }
int take_pending() { return std::exchange(pending, SUCCESS); }
}  // namespace

extern "C" {
// Settings and counters: see gpus.py and counters.py.
int gpuless_devices() { return device_count; }
size_t gpuless_memory() { return memory_size; }
void gpuless_set(int devices, size_t memory) { device_count = devices, memory_size = memory; }
long gpuless_launches() { return launches; }
long gpuless_device_to_host_copies() { return copies_to_host; }
long gpuless_host_to_device_copies() { return copies_to_device; }
void gpuless_count_launch() {
  std::lock_guard lock(mutex);
  ++launches;
}

// Devices.
int hipGetDeviceCount(int* n) { return *n = device_count, SUCCESS; }
int hipGetDevice(int* d) { return *d = current_device, SUCCESS; }
int hipSetDevice(int d) {
  if (d < 0 || d >= device_count) return BAD_DEVICE;
  return current_device = d, SUCCESS;
}
int hipDeviceSynchronize() { return take_pending(); }
int hipDriverGetVersion(int* v) { return *v = 70000000, SUCCESS; }
int hipRuntimeGetVersion(int* v) { return *v = 70000000, SUCCESS; }
int hipDeviceCanAccessPeer(int* can, int, int) { return *can = 0, SUCCESS; }
int hipDeviceGetPCIBusId(char* id, int size, int) {
  return std::strncpy(id, "0000:00:00.0", size), SUCCESS;
}
int hipDeviceGetLimit(size_t* v, int) { return *v = 8 << 20, SUCCESS; }
int hipDeviceGetAttribute(int* v, int attribute, int) {
  static const std::map<int, int> known = {  // numbered as in cupy.cuda.runtime.cudaDevAttr*
      {0, 1024}, {1, 1024}, {2, 1024}, {3, 64}, {4, 2147483647}, {5, 65535}, {6, 65535},
      {7, max_dynamic_shared}, {9, 32}, {10, 65536}, {14, 4}, {17, 2048},
      {23, 9}, {61, 0}};  // the last two: compute capability
  auto at = known.find(attribute);
  return *v = at == known.end() ? 0 : at->second, SUCCESS;
}
int hipGetDevicePropertiesR0600(void* out, int) {
  struct {  // the start of hipDeviceProp_t
    char name[256], uuid[16], luid[8];
    unsigned luid_mask;
    size_t memory, shared;
    int registers, warp;
    size_t pitch;
    int threads, block[3], grid[3], clock;
    size_t constant;
    int major, minor;
    size_t texture[2];
    int overlap, processors;
    char rest[1024];
  } p = {};
  std::strcpy(p.name, "gpuless: a CPU, not a GPU");
  p.memory = memory_size, p.shared = max_dynamic_shared, p.registers = 65536, p.warp = 32;
  p.threads = p.block[0] = p.block[1] = 1024, p.block[2] = 64;
  p.grid[0] = 2147483647, p.grid[1] = p.grid[2] = 65535, p.major = 9, p.processors = 4;
  std::memset(out, 0, 1472);  // sizeof(hipDeviceProp_t)
  std::memcpy(out, &p, offsetof(decltype(p), rest));
  return SUCCESS;
}

// Memory.
int hipMalloc(void** p, size_t n) {
  std::lock_guard lock(mutex);
  if (n > free_bytes()) return OUT_OF_MEMORY;
  *p = std::aligned_alloc(512, (n + 511) / 512 * 512);
  if (!*p) return OUT_OF_MEMORY;
  std::memset(*p, 0xA5, std::min(n, size_t(16) << 20));  // no zeros by luck
  blocks[(char*)*p] = {n, current_device};
  used[current_device] += n;
  return SUCCESS;
}
int hipFree(void* p) {
  std::lock_guard lock(mutex);
  auto at = blocks.find((char*)p);
  if (at == blocks.end()) return p ? INVALID : SUCCESS;
  used[at->second.device] -= at->second.size;
  blocks.erase(at);
  std::free(p);
  return SUCCESS;
}
int hipMallocManaged(void** p, size_t n, unsigned) { return hipMalloc(p, n); }
int hipHostMalloc(void** p, size_t n, unsigned) {
  return (*p = std::malloc(n ? n : 1)) ? SUCCESS : OUT_OF_MEMORY;
}
int hipHostFree(void* p) { return std::free(p), SUCCESS; }
int hipMemGetInfo(size_t* free, size_t* total) {
  std::lock_guard lock(mutex);
  return *total = memory_size, *free = free_bytes(), SUCCESS;
}
int hipMemcpy(void* to, const void* from, size_t n, int kind) {
  std::lock_guard lock(mutex);
  if (kind == DEFAULT && find(from) && !find(to)) kind = DEVICE_TO_HOST;
  if (kind == DEFAULT && !find(from) && find(to)) kind = HOST_TO_DEVICE;
  copies_to_host += kind == DEVICE_TO_HOST;
  copies_to_device += kind == HOST_TO_DEVICE;
  std::memmove(to, from, n);
  return take_pending();
}
int hipMemcpyAsync(void* to, const void* from, size_t n, int kind, void*) {
  return hipMemcpy(to, from, n, kind);
}
int hipMemcpyPeer(void* to, int, const void* from, int, size_t n) {
  return std::memmove(to, from, n), SUCCESS;
}
int hipMemcpyPeerAsync(void* to, int, const void* from, int, size_t n, void*) {
  return std::memmove(to, from, n), SUCCESS;
}
int hipMemset(void* p, int v, size_t n) { return std::memset(p, v, n), SUCCESS; }
int hipMemsetAsync(void* p, int v, size_t n, void*) { return std::memset(p, v, n), SUCCESS; }
int hipPointerGetAttributes(void* out, const void* p) {
  std::lock_guard lock(mutex);
  const Block* block = find(p);
  struct {  // hipPointerAttribute_t
    int type, device;
    const void *on_device, *on_host;
    int managed;
    unsigned flags;
  } a = {block ? 2 : 0, block ? block->device : 0, block ? p : nullptr, block ? nullptr : p, 0, 0};
  std::memcpy(out, &a, sizeof a);
  return SUCCESS;
}

// Streams and events: work is done at once, so that only an event's time is kept.
int hipStreamCreate(void** s) { return *s = std::malloc(1), SUCCESS; }
int hipStreamCreateWithFlags(void** s, unsigned) { return hipStreamCreate(s); }
int hipStreamCreateWithPriority(void** s, unsigned, int) { return hipStreamCreate(s); }
int hipStreamDestroy(void* s) { return std::free(s), SUCCESS; }
int hipStreamSynchronize(void*) { return take_pending(); }
int hipStreamQuery(void*) { return SUCCESS; }
int hipStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }
int hipStreamIsCapturing(void*, int* capturing) { return *capturing = 0, SUCCESS; }
int hipEventCreate(void** e) { return *e = new double(0), SUCCESS; }
int hipEventCreateWithFlags(void** e, unsigned) { return hipEventCreate(e); }
int hipEventDestroy(void* e) { return delete (double*)e, SUCCESS; }
int hipEventRecord(void* e, void*) {
  using namespace std::chrono;
  *(double*)e = duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
  return SUCCESS;
}
int hipEventSynchronize(void*) { return SUCCESS; }
int hipEventQuery(void*) { return SUCCESS; }
int hipEventElapsedTime(float* ms, void* start, void* end) {
  return *ms = *(double*)end - *(double*)start, SUCCESS;
}

// Modules and launches.
int hipModuleLoadData(void** m, const void* image) {  // the image is a file name: see hiprtc.cpp
  std::string path = std::getenv("GPULESS_OBJECTS") + ("/" + std::string((const char*)image));
  *m = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return *m ? SUCCESS : fail(200, dlerror());
}
int hipModuleUnload(void*) { return SUCCESS; }
int hipModuleGetFunction(void** f, void* m, const char* name) {
  *f = dlsym(m, (std::string("coh_run_") + name).c_str());
  return *f ? SUCCESS : fail(500, std::string("no kernel ") + name + " with C linkage");
}
int hipModuleGetGlobal(void** p, size_t* size, void* m, const char* name) {
  Dl_info info;
  const ElfW(Sym) * symbol;
  *p = dlsym(m, name);
  if (!*p || !dladdr1(*p, &info, (void**)&symbol, RTLD_DL_SYMENT))
    return fail(500, std::string("no variable ") + name);
  return *size = symbol->st_size, SUCCESS;
}
int hipModuleLaunchKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                          unsigned bz, unsigned shared, void*, void** args, void**) {
  using Run = const char* (*)(const unsigned*, const unsigned*, size_t, void**);
  unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
  std::lock_guard lock(mutex);
  ++launches;
  const char* error = Run(f)(grid, block, shared, args);
  return error ? fail(LAUNCH_FAILED, std::string("kernel failed: ") + error) : take_pending();
}
int hipFuncGetAttribute(int* v, int, void*) { return *v = 1024, SUCCESS; }
int hipOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, size_t, int) {
  return *grid = 4, *block = 128, SUCCESS;
}
int hipOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void*, int, size_t) {
  return *n = 8, SUCCESS;
}
// Device code that is already compiled inside CuPy (cub, random.Generator) cannot run here.
int __hipPushCallConfiguration(...) {
  return pending = fail(NOT_SUPPORTED, "CuPy's precompiled device code cannot run here");
}
void** __hipRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __hipUnregisterFatBinary(void**) {}
void __hipRegisterFunction(void**, ...) {}

// Errors.
const char* hipGetErrorName(int status) {
  switch (status) {
    case SUCCESS: return "hipSuccess";
    case INVALID: return "hipErrorInvalidValue";
    case OUT_OF_MEMORY: return "hipErrorOutOfMemory";
    case BAD_DEVICE: return "hipErrorInvalidDevice";
    case LAUNCH_FAILED: return "hipErrorLaunchFailure";
    case NOT_SUPPORTED: return "hipErrorNotSupported";
  }
  return "hipErrorUnknown";
}
const char* hipGetErrorString(int status) {
  if (status == OUT_OF_MEMORY) return "out of memory";
  return reason.empty() ? "gpuless: see the message on stderr" : reason.c_str();
}
int hipGetLastError() { return take_pending(); }
int hipPeekAtLastError() { return pending; }
}
