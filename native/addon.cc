// The addon's module entry: each file wraps one thing and adds its functions here. Loaded once per thread that uses it
// (worker threads included); what threads share lives in those files behind mutexes, and holds no N-API handles.
#include "addon.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
#if defined(__GLIBC__)
  // One arena a thread and a threshold that grows keep a quarter of a backup's memory for nothing.
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  mallopt(M_TRIM_THRESHOLD, 512 * 1024);
#endif
  varve::initScan(env, exports);
  varve::initScanAhead(env, exports);
  varve::initRead(env, exports);
  varve::initDigest(env, exports);
  varve::initCut(env, exports);
  varve::initFrame(env, exports);
  varve::initClaims(env, exports);
  varve::initXattr(env, exports);
  varve::initSegment(env, exports);
  varve::initMountFd(env, exports);
  varve::initTarget(env, exports);
  varve::initTargetMetadata(env, exports);
  varve::initCopy(env, exports);
  varve::initLeaf(env, exports);
  varve::initDirents(env, exports);
  return exports;
}

NODE_API_MODULE(varve, Init)
