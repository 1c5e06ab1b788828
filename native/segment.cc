// SegmentKernels: the addon's functions over index segments. Open segments and builders belong to the process and are named by numbers
// that are never used twice, so a stale number finds nothing. Searching runs on the calling thread; sorting and merging on libuv's pool.
#include <cerrno>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "addon.h"
#include "arguments.h"
#include "pack-directory.h"
#include "segment-writer.h"

namespace varve {

namespace {

using segment::Builder;
using segment::Damaged;
using segment::Row;
using segment::Segment;
using segment::SystemFailure;

constexpr uint32_t kAbsent = 0xffffffff;

/** Numbers to shared objects, for all threads. */
template <class T> class Registry {
 public:
  uint32_t add(std::shared_ptr<T> object) {
    std::unique_lock lock(mutex_);
    objects_.emplace(++last_, std::move(object));
    return last_;
  }
  std::shared_ptr<T> find(uint32_t handle) {
    std::shared_lock lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::shared_ptr<T> take(uint32_t handle) {
    std::unique_lock lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    auto object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  std::shared_mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<T>> objects_;
  uint32_t last_ = 0;
};

// Never destroyed: worker threads may still search while the process ends.
Registry<Segment>& segments() {
  static auto* registry = new Registry<Segment>;
  return *registry;
}

Registry<Builder>& builders() {
  static auto* registry = new Registry<Builder>;
  return *registry;
}

/** A cache file or a directory that does not verify. */
Napi::Error damagedError(Napi::Env env, const char* message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, "EBADMSG"));
  return error;
}

/** Runs `work`, turning C++ failures into JavaScript errors with a code. */
template <class Work> auto guarded(Napi::Env env, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const Damaged& damaged) {
    throw damagedError(env, damaged.what());
  } catch (const SystemFailure& failure) {
    throw systemError(env, failure.code, failure.call);
  }
}

std::shared_ptr<Builder> builderAt(const Napi::CallbackInfo& info) {
  auto builder = builders().find(u32Arg(info, 0, "builder"));
  if (!builder) throw systemError(info.Env(), EBADF, "segmentBuilder");
  return builder;
}

Napi::Value segmentOpen(const Napi::CallbackInfo& info) {
  const auto fd = fdArg(info, 0, "fd");
  const bool withFilter = boolArg(info, 1, "withFilter");
  auto opened = guarded(info.Env(), [&] { return std::make_shared<Segment>(fd, withFilter); });
  return Napi::Number::New(info.Env(), segments().add(std::move(opened)));
}

void segmentClose(const Napi::CallbackInfo& info) { segments().take(u32Arg(info, 0, "segment")); }

Napi::Value segmentDamaged(const Napi::CallbackInfo& info) {
  const auto segment = segments().find(u32Arg(info, 0, "segment"));
  return Napi::Boolean::New(info.Env(), segment && segment->damaged());
}

Napi::Value segmentFind(const Napi::CallbackInfo& info) {
  const Words handles = wordsArg(info, 0, "handles"), bases = wordsArg(info, 1, "bases");
  const Bytes ids = bytesArg(info, 2, "ids");
  const bool restricted = !info[3].IsUndefined();
  const Bytes usable = restricted ? bytesArg(info, 3, "usable") : Bytes{nullptr, 0};
  if (ids.size % 32 != 0) throw rangeError(info.Env(), "ids must be a multiple of 32 bytes");
  if (handles.count != bases.count) throw rangeError(info.Env(), "one base for each handle expected");

  const size_t count = ids.size / 32;
  auto result = Napi::Uint32Array::New(info.Env(), count);
  uint32_t* packs = result.Data();
  std::vector<uint32_t> open(count);
  for (size_t i = 0; i < count; i++) {
    packs[i] = kAbsent;
    open[i] = static_cast<uint32_t>(i);
  }
  for (size_t h = 0; h < handles.count && !open.empty(); h++) {
    const auto segment = segments().find(handles.data[h]);
    if (!segment) continue;
    const uint32_t base = bases.data[h];
    constexpr size_t ahead = 12;
    for (size_t i = 0; i < open.size() && i < ahead; i++) segment->prefetch(segment::bigEndian(ids.data + size_t{open[i]} * 32));
    size_t kept = 0;
    for (size_t i = 0; i < open.size(); i++) {
      if (i + ahead < open.size()) segment->prefetch(segment::bigEndian(ids.data + size_t{open[i + ahead]} * 32));
      const uint32_t index = open[i];
      const uint8_t* id = ids.data + size_t{index} * 32;
      const uint64_t hi = segment::bigEndian(id), lo = segment::bigEndian(id + 8);
      if (segment->mayHold(hi, lo))
        segment->match(hi, lo, [&](const Row& row) {
          const uint64_t pack = uint64_t{base} + row.pack;
          if (restricted && (pack / 8 >= usable.size || ((usable.data[pack / 8] >> (pack % 8)) & 1) == 0)) return true;
          packs[index] = static_cast<uint32_t>(pack);
          return false;
        });
      if (packs[index] == kAbsent) open[kept++] = index;
    }
    open.resize(kept);
  }
  return result;
}

Napi::Value segmentRows(const Napi::CallbackInfo& info) {
  const auto segment = segments().find(u32Arg(info, 0, "segment"));
  const Bytes id = bytesArg(info, 1, "id", 32);
  std::vector<uint32_t> found;
  const uint64_t hi = segment::bigEndian(id.data), lo = segment::bigEndian(id.data + 8);
  if (segment && segment->mayHold(hi, lo))
    segment->match(hi, lo, [&](const Row& row) {
      found.insert(found.end(), {row.pack, row.frame, row.chunk});
      return true;
    });
  auto result = Napi::Uint32Array::New(info.Env(), found.size());
  if (!found.empty()) std::memcpy(result.Data(), found.data(), found.size() * 4);
  return result;
}

Napi::Value checkDirectory(const Napi::CallbackInfo& info) {
  const uint64_t endBytes = sizeArg(info, 1, "endBytes");
  const auto packClass = static_cast<uint8_t>(integerArg(info, 2, "packClass", 0, 255));
  const Bytes directory = bytesArg(info, 0, "directory");
  const auto totals = guarded(info.Env(), [&] { return segment::checkDirectory(directory.data, directory.size, endBytes, packClass); });
  return Napi::Number::New(info.Env(), static_cast<double>(totals.length));
}

Napi::Value segmentBuilderCreate(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), builders().add(std::make_shared<Builder>(fdArg(info, 0, "fd"), u32Arg(info, 1, "rows"))));
}

void segmentBuilderAdd(const Napi::CallbackInfo& info) {
  const auto builder = builderAt(info);
  const Bytes packId = bytesArg(info, 1, "packId", 32), header = bytesArg(info, 2, "header", segment::kPackHeaderBytes);
  const Bytes directory = bytesArg(info, 3, "directory");
  guarded(info.Env(), [&] { builder->add(packId.data, header.data, directory.data, directory.size); });
}

void segmentBuilderFree(const Napi::CallbackInfo& info) { builders().take(u32Arg(info, 0, "builder")); }

/** Work on the thread pool that settles a promise. */
template <class Work> class Task : public Napi::AsyncWorker {
 public:
  Task(Napi::Env env, Work work) : Napi::AsyncWorker(env), work_(std::move(work)), deferred_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      work_();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (!failure_) return deferred_.Resolve(Env().Undefined());
    try {
      guarded(Env(), [&] { std::rethrow_exception(failure_); });
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    } catch (const std::exception& error) {
      deferred_.Reject(Napi::Error::New(Env(), error.what()).Value());
    }
  }

 private:
  Work work_;
  Napi::Promise::Deferred deferred_;
  std::exception_ptr failure_;
};

template <class Work> Napi::Value promised(Napi::Env env, Work work) {
  auto* task = new Task<Work>(env, std::move(work));
  const Napi::Promise promise = task->promise();
  task->Queue();
  return promise;
}

Napi::Value segmentBuilderFinish(const Napi::CallbackInfo& info) {
  auto builder = builderAt(info);
  builders().take(u32Arg(info, 0, "builder"));
  return promised(info.Env(), [builder, salt = u32Arg(info, 1, "salt"), covered = pathArg(info, 2, "covered")] { builder->finish(salt, covered); });
}

Napi::Value segmentMerge(const Napi::CallbackInfo& info) {
  const Words handles = wordsArg(info, 0, "segments");
  std::vector<std::shared_ptr<Segment>> inputs;
  for (size_t i = 0; i < handles.count; i++) {
    auto input = segments().find(handles.data[i]);
    if (!input) throw systemError(info.Env(), EBADF, "segmentMerge");
    inputs.push_back(std::move(input));
  }
  return promised(info.Env(), [inputs = std::move(inputs), fd = fdArg(info, 1, "fd"), salt = u32Arg(info, 2, "salt"),
                               covered = pathArg(info, 3, "covered")] { segment::merge(inputs, fd, salt, covered); });
}

Napi::Value crc32c(const Napi::CallbackInfo& info) {
  const Bytes bytes = bytesArg(info, 0, "bytes");
  return Napi::Number::New(info.Env(), segment::crc32c(0, bytes.data, bytes.size));
}

}  // namespace

void initSegment(Napi::Env env, Napi::Object exports) {
  add<segmentOpen>(env, exports, "segmentOpen");
  add<segmentClose>(env, exports, "segmentClose");
  add<segmentDamaged>(env, exports, "segmentDamaged");
  add<segmentFind>(env, exports, "segmentFind");
  add<segmentRows>(env, exports, "segmentRows");
  add<checkDirectory>(env, exports, "checkDirectory");
  add<segmentBuilderCreate>(env, exports, "segmentBuilderCreate");
  add<segmentBuilderAdd>(env, exports, "segmentBuilderAdd");
  add<segmentBuilderFinish>(env, exports, "segmentBuilderFinish");
  add<segmentBuilderFree>(env, exports, "segmentBuilderFree");
  add<segmentMerge>(env, exports, "segmentMerge");
  add<crc32c>(env, exports, "crc32c");
}

}  // namespace varve
