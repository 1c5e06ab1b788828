// Scans directories on a thread of its own before the walk comes to them. What is wanted next lies on top of a stack, because the walk goes depth first; the
// walk takes what is ready, waits for what is being scanned, and scans itself what was not begun.
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "scan.h"

namespace varve {
namespace {

/** What may lie ready before the thread waits for the walk. */
constexpr size_t READY_BYTES = 1 << 20;
constexpr size_t READY_COUNT = 64;

class Ahead : public std::enable_shared_from_this<Ahead> {
 public:
  /** Lets the thread end. It is not waited for, since it may be in a call on a file system that does not answer. */
  void end() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    wanted_.notify_one();
  }

  /** Puts directories on top of the stack, the first of them uppermost. */
  void want(std::vector<std::string>&& paths) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (auto path = paths.rbegin(); path != paths.rend(); ++path) stack_.push_back(std::move(*path));
      if (!started_) std::thread([self = shared_from_this()] { self->run(); }).detach();
      started_ = true;
    }
    wanted_.notify_one();
  }

  /** The records of `path`; false when they are not to be had from here, and the caller scans it. */
  bool take(const std::string& path, std::vector<uint8_t>& out) {
    std::unique_lock<std::mutex> lock(mutex_);
    scanned_.wait(lock, [&] { return running_ != path; });
    auto found = ready_.find(path);
    if (found == ready_.end()) {
      for (size_t at = stack_.size(); at-- > 0;) {
        if (stack_[at] != path) continue;
        stack_.erase(stack_.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      }
      return false;
    }
    out = std::move(found->second);
    bool full = isFull();
    readyBytes_ -= out.size();
    ready_.erase(found);
    lock.unlock();
    if (full) wanted_.notify_one();
    return true;
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wanted_.wait(lock, [&] { return ended_ || (!stack_.empty() && !isFull()); });
      if (ended_) return;
      running_ = std::move(stack_.back());
      stack_.pop_back();
      std::string path = running_;
      lock.unlock();
      std::vector<uint8_t> records;
      bool scanned = false;
      try {
        scanned = scan(path, records).error == 0;
      } catch (const std::bad_alloc&) {
        // The walk meets it again, and says so.
      }
      lock.lock();
      running_.clear();
      if (scanned) {
        readyBytes_ += records.size();
        ready_.insert_or_assign(std::move(path), std::move(records));
      }
      scanned_.notify_one();
    }
  }

  bool isFull() const { return readyBytes_ >= READY_BYTES || ready_.size() >= READY_COUNT; }

  std::mutex mutex_;
  /** Wakes the thread. */
  std::condition_variable wanted_;
  /** Wakes the walk; the system is asked only when it waits. */
  std::condition_variable scanned_;
  std::vector<std::string> stack_;
  std::unordered_map<std::string, std::vector<uint8_t>> ready_;
  size_t readyBytes_ = 0;
  /** The path that is being scanned, or empty. */
  std::string running_;
  bool started_ = false;
  bool ended_ = false;
};

std::mutex tableMutex;
std::unordered_map<uint32_t, std::shared_ptr<Ahead>>& table() {
  static auto* all = new std::unordered_map<uint32_t, std::shared_ptr<Ahead>>();
  return *all;
}
uint32_t nextHandle = 1;

std::shared_ptr<Ahead> aheadArg(const Napi::CallbackInfo& info) {
  uint32_t handle = u32Arg(info, 0, "handle");
  std::lock_guard<std::mutex> lock(tableMutex);
  auto found = table().find(handle);
  if (found == table().end()) throw rangeError(info.Env(), "nothing scans ahead under this handle");
  return found->second;
}

Napi::Value scanAheadCreate(const Napi::CallbackInfo& info) {
  std::lock_guard<std::mutex> lock(tableMutex);
  while (nextHandle == 0 || table().count(nextHandle) != 0) nextHandle++;
  uint32_t handle = nextHandle++;
  table().emplace(handle, std::make_shared<Ahead>());
  return Napi::Number::New(info.Env(), handle);
}

void scanAhead(const Napi::CallbackInfo& info) {
  auto ahead = aheadArg(info);
  Bytes joined = bytesArg(info, 1, "paths");
  std::vector<std::string> paths;
  const char* from = reinterpret_cast<const char*>(joined.data);
  const char* end = from + joined.size;
  while (from < end) {
    const char* nul = static_cast<const char*>(std::memchr(from, 0, static_cast<size_t>(end - from)));
    if (nul == nullptr) throw rangeError(info.Env(), "every path must end with a NUL byte");
    paths.emplace_back(from, nul);
    from = nul + 1;
  }
  ahead->want(std::move(paths));
}

Napi::Value scanAheadTake(const Napi::CallbackInfo& info) {
  auto ahead = aheadArg(info);
  std::string path = pathArg(info, 1, "path");
  std::vector<uint8_t> records;
  if (!ahead->take(path, records)) return info.Env().Undefined();
  return copyOut(info.Env(), records.data(), records.size());
}

void scanAheadFree(const Napi::CallbackInfo& info) {
  auto ahead = aheadArg(info);
  ahead->end();
  std::lock_guard<std::mutex> lock(tableMutex);
  table().erase(u32Arg(info, 0, "handle"));
}

}  // namespace

void initScanAhead(Napi::Env env, Napi::Object exports) {
  add<scanAheadCreate>(env, exports, "scanAheadCreate");
  add<scanAhead>(env, exports, "scanAhead");
  add<scanAheadTake>(env, exports, "scanAheadTake");
  add<scanAheadFree>(env, exports, "scanAheadFree");
}

}  // namespace varve
