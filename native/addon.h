// One registration function per file of the addon: each adds its functions to `exports`. Nothing else is shared through this header.
#pragma once
#include <napi.h>

namespace varve {

void initScan(Napi::Env env, Napi::Object exports);
void initScanAhead(Napi::Env env, Napi::Object exports);
void initRead(Napi::Env env, Napi::Object exports);
void initDigest(Napi::Env env, Napi::Object exports);
void initCut(Napi::Env env, Napi::Object exports);
void initFrame(Napi::Env env, Napi::Object exports);
void initClaims(Napi::Env env, Napi::Object exports);
void initXattr(Napi::Env env, Napi::Object exports);
void initSegment(Napi::Env env, Napi::Object exports);
void initMountFd(Napi::Env env, Napi::Object exports);
void initTarget(Napi::Env env, Napi::Object exports);
void initTargetMetadata(Napi::Env env, Napi::Object exports);
void initCopy(Napi::Env env, Napi::Object exports);
void initLeaf(Napi::Env env, Napi::Object exports);
void initDirents(Napi::Env env, Napi::Object exports);

/** Adds one function, under its own name, without a heap-allocated closure. */
template <auto Function>
void add(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Function>(env, name));
}

}  // namespace varve
