// A pretend hipRTC: hands the kernel text to kernel_build.py.  A program's code is the name of
// the shared object in $GPULESS_OBJECTS, which hipModuleLoadData opens.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>
namespace fs = std::filesystem;

namespace {
enum { SUCCESS = 0, COMPILATION = 6, NO_SUCH_NAME = 10 };
struct Program {
  std::string source, log, code;
  std::vector<std::string> names, lowered;
};
std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}
template <class Lines> void write(const fs::path& path, const Lines& lines) {
  std::ofstream file(path);
  for (auto& line : lines) file << line << '\n';
}
int copy(char* out, const std::string& text) {
  return std::memcpy(out, text.c_str(), text.size() + 1), SUCCESS;
}
}  // namespace

extern "C" {
const char* hiprtcGetErrorString(int status) {
  return status == COMPILATION ? "HIPRTC_ERROR_COMPILATION" : "HIPRTC_ERROR";
}
int hiprtcVersion(int* major, int* minor) { return *major = 9, *minor = 0, SUCCESS; }
int hiprtcCreateProgram(Program** p, const char* source, const char*, int, const char**,
                        const char**) {
  return *p = new Program{source}, SUCCESS;
}
int hiprtcDestroyProgram(Program** p) { return delete *p, *p = nullptr, SUCCESS; }
int hiprtcAddNameExpression(Program* p, const char* name) {
  p->lowered.push_back("name" + std::to_string(p->names.size()));
  p->names.push_back(name);
  return SUCCESS;
}
int hiprtcGetLoweredName(Program* p, const char* name, const char** out) {
  for (size_t i = 0; i < p->names.size(); ++i)
    if (p->names[i] == name) return *out = p->lowered[i].c_str(), SUCCESS;
  return NO_SUCH_NAME;
}
int hiprtcCompileProgram(Program* p, int count, const char** options) {
  std::string folder = (fs::temp_directory_path() / "gpuless-XXXXXX").string();
  if (!mkdtemp(folder.data())) return p->log = "cannot make a temporary folder", COMPILATION;
  write(fs::path(folder) / "source", std::vector{p->source});
  write(fs::path(folder) / "names", p->names);
  write(fs::path(folder) / "options", std::vector<std::string>(options, options + count));
  std::string command =
      "\"$GPULESS_PYTHON\" -ESB \"$GPULESS_HOME/kernel_build.py\" '" + folder + "'";
  int status = std::system(command.c_str());
  p->code = read(fs::path(folder) / "object");
  p->log = read(fs::path(folder) / "log");
  fs::remove_all(folder);
  if (status) p->log = "kernel_build.py failed: see the message on stderr";
  return p->code.empty() ? COMPILATION : SUCCESS;
}
int hiprtcGetProgramLogSize(Program* p, size_t* n) { return *n = p->log.size() + 1, SUCCESS; }
int hiprtcGetProgramLog(Program* p, char* out) { return copy(out, p->log); }
int hiprtcGetCodeSize(Program* p, size_t* n) { return *n = p->code.size() + 1, SUCCESS; }
int hiprtcGetCode(Program* p, char* out) { return copy(out, p->code); }
}
