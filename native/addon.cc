// The addon's module entry: each file wraps one thing and adds its functions here. Loaded once per thread that uses it
// (worker threads included); what threads share lives in those files behind mutexes, and holds no N-API handles.
#include "addon.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  varve::initScan(env, exports);
  varve::initRead(env, exports);
  varve::initDigest(env, exports);
  varve::initCut(env, exports);
  varve::initFrame(env, exports);
  varve::initClaims(env, exports);
  varve::initXattr(env, exports);
  varve::initSegment(env, exports);
  varve::initMountFd(env, exports);
  varve::initTarget(env, exports);
  return exports;
}

NODE_API_MODULE(varve, Init)
