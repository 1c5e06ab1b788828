// The addon's module entry: each file wraps one thing and adds its functions here.
#include <napi.h>

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  (void)env;
  return exports;
}

NODE_API_MODULE(varve, Init)
