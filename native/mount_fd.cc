// Mounting and unmounting for the mount drivers: mount(2) and umount2(2) as root, and fusermount3 for ordinary users, whose /dev/fuse
// descriptor arrives over a socket by SCM_RIGHTS, which Node cannot receive. Runs on the calling thread; keeps no state. Linux only.
#include <poll.h>
#include "addon.h"
#include "arguments.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#ifdef __linux__
#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;
#endif

namespace {

// Text without NUL, as paths and mount options are.
std::string TextArg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) throw Napi::TypeError::New(info.Env(), std::string(name) + " must be a string");
  std::string text = info[index].As<Napi::String>();
  if (text.find('\0') != std::string::npos) throw Napi::TypeError::New(info.Env(), std::string(name) + " must not contain NUL");
  return text;
}

#ifdef __linux__

struct Fd {
  int fd = -1;
  Fd() = default;
  explicit Fd(int value) : fd(value) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Close(); }
  void Close() {
    if (fd >= 0) close(fd);
    fd = -1;
  }
};

// One byte with one descriptor attached, or an end of file when fusermount3 gave up.
int ReceiveFd(int socket) {
  char byte = 0;
  iovec io = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return -1;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
  }
  return -1;
}

std::string ReadAll(int fd) {
  std::string text;
  char part[512];
  for (;;) {
    ssize_t n = read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || text.size() > 4096) break;
    text.append(part, static_cast<size_t>(n));
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// fusermountOpen(fusermountPath, mountpoint, options) -> fd
Napi::Value FusermountOpen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string program = TextArg(info, 0, "fusermountPath");
  std::string mountpoint = TextArg(info, 1, "mountpoint");
  std::string options = TextArg(info, 2, "options");

  int sockets[2];
  int pipes[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) throw varve::systemError(env, errno, "socketpair");
  Fd ours(sockets[0]);
  Fd theirs(sockets[1]);
  if (pipe2(pipes, O_CLOEXEC) != 0) throw varve::systemError(env, errno, "pipe2");
  Fd said(pipes[0]);
  Fd says(pipes[1]);

  // A number no descriptor above 2 can clash with after dup2: the originals are closed by exec.
  constexpr int kCommFd = 3;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, says.fd, 2);
  posix_spawn_file_actions_adddup2(&actions, theirs.fd, kCommFd);

  std::vector<std::string> environment = {"_FUSE_COMMFD=" + std::to_string(kCommFd)};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "_FUSE_COMMFD=", 13) != 0) environment.emplace_back(*entry);
  }
  std::vector<char*> envp;
  envp.reserve(environment.size() + 1);
  for (std::string& entry : environment) envp.push_back(entry.data());
  envp.push_back(nullptr);
  std::string flag = "-o";
  std::string dashes = "--";
  char* argv[] = {program.data(), flag.data(), options.data(), dashes.data(), mountpoint.data(), nullptr};

  pid_t child = -1;
  int failed = posix_spawnp(&child, program.c_str(), &actions, nullptr, argv, envp.data());
  posix_spawn_file_actions_destroy(&actions);
  theirs.Close();
  says.Close();
  if (failed != 0) throw varve::systemError(env, failed, "fusermount3", program);

  Fd fuse(ReceiveFd(ours.fd));
  std::string complaint = ReadAll(said.fd);
  int status = 0;
  pid_t waited;
  do waited = waitpid(child, &status, 0);
  while (waited < 0 && errno == EINTR);
  bool succeeded = waited < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (fuse.fd < 0 || !succeeded) throw varve::systemError(env, EPERM, "fusermount3", complaint.empty() ? "ended without a descriptor" : complaint);
  return Napi::Number::New(env, std::exchange(fuse.fd, -1));
}

// mountFuse(fd, mountpoint, fsname, subtype, flags, options)
void MountFuse(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = varve::fdArg(info, 0, "fd");
  std::string mountpoint = TextArg(info, 1, "mountpoint");
  std::string fsname = TextArg(info, 2, "fsname");
  std::string subtype = TextArg(info, 3, "subtype");
  unsigned long flags = varve::u32Arg(info, 4, "flags");
  std::string options = TextArg(info, 5, "options");
  std::string type = subtype.empty() ? "fuse" : "fuse." + subtype;
  std::string data = "fd=" + std::to_string(fd) + (options.empty() ? "" : "," + options);
  if (mount(fsname.c_str(), mountpoint.c_str(), type.c_str(), flags, data.c_str()) != 0) throw varve::systemError(env, errno, "mount", mountpoint);
}

// umount(mountpoint, flags)
void Umount(const Napi::CallbackInfo& info) {
  std::string mountpoint = TextArg(info, 0, "mountpoint");
  int flags = static_cast<int>(varve::integerArg(info, 1, "flags", 0, 0x7fffffff));
  if (umount2(mountpoint.c_str(), flags) != 0) throw varve::systemError(info.Env(), errno, "umount2", mountpoint);
}

#else

Napi::Value FusermountOpen(const Napi::CallbackInfo& info) { throw varve::systemError(info.Env(), ENOSYS, "fusermount3"); }
void MountFuse(const Napi::CallbackInfo& info) { throw varve::systemError(info.Env(), ENOSYS, "mount"); }
void Umount(const Napi::CallbackInfo& info) { throw varve::systemError(info.Env(), ENOSYS, "umount2"); }

#endif

// hasInput(fd)
Napi::Value HasInput(const Napi::CallbackInfo& info) {
  pollfd waiting = {varve::fdArg(info, 0, "fd"), POLLIN, 0};
  return Napi::Boolean::New(info.Env(), poll(&waiting, 1, 0) > 0);
}

}  // namespace

void varve::initMountFd(Napi::Env env, Napi::Object exports) {
  add<FusermountOpen>(env, exports, "fusermountOpen");
  add<MountFuse>(env, exports, "mountFuse");
  add<Umount>(env, exports, "umount");
  add<HasInput>(env, exports, "hasInput");
}
