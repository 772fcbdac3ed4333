// Writes libmesh(7), the manual page, to standard output: the prose is here, every option, key and
// statistic comes from the tables of the library itself.
//
// A build tool; not part of the library.
#include <cstdio>
#include <string>
#include <string_view>

#include "src/base/writer.h"
#include "src/config/options.h"
#include "src/control/mallctl.h"
#include "src/control/statistics.h"
#include "src/libmesh/mesh/mesh.h"

namespace mesh {
namespace {

// Text for roff: what it would take for a request or an escape is made plain.
std::string Roff(std::string_view text) {
  std::string out;
  if (!text.empty() && (text.front() == '.' || text.front() == '\'')) out += "\\&";
  for (char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

void Put(std::string_view text) { fwrite(text.data(), 1, text.size(), stdout); }

void Item(std::string_view term, std::string_view text) {
  Put(".TP\n.B " + Roff(term) + "\n" + Roff(text) + "\n");
}

std::string Accepted(const OptionSpec& spec) {
  LineWriter line;
  DescribeAccepted(spec, &line);
  line.Text("; default ");
  FormatOptionValue(spec, spec.default_value, &line);
  return std::string(line.view());
}

const char* TypeOf(const OptionSpec& spec) {
  if (spec.kind == OptionKind::kBool) return "bool";
  bool is_text = spec.kind == OptionKind::kEnum || spec.kind == OptionKind::kText;
  return is_text ? "const char*" : "size_t";
}

void PutStart() {
  Put(".TH LIBMESH 7 \"\" \"Mesh " MESH_VERSION_STRING
      "\" \"Mesh\"\n"
      ".SH NAME\nlibmesh \\- a memory allocator that compacts without moving objects\n"
      ".SH SYNOPSIS\n.nf\n"
      ".B LD_PRELOAD=libmesh.so \\fIprogram\\fP\n"
      ".B cc \\fIprogram.c\\fP \\-lmesh\n"
      ".B #include <mesh/mesh.h>\n.fi\n"
      ".SH DESCRIPTION\n"
      "Mesh takes the place of\n.BR malloc (3),\n.BR free (3)\n"
      "and their relatives, and of operator new and delete in C++. It places objects at random\n"
      "within their spans, and gives memory back by meshing: two spans whose objects do not\n"
      "overlap come to share one physical span. Addresses of objects never change.\n"
      ".PP\nIt needs no change to a program: preload it, or link with it.\n");
}

void PutEnvironment() {
  Put(".SH ENVIRONMENT\n"
      "An empty value counts as not set. A value that is not accepted is reported in one line on\n"
      "standard error, and the default is used. Programs that run with raised privileges\n"
      "(set\\-user\\-ID and the like) take no notice of any of these.\n");
  for (const OptionSpec& spec : kOptionSpecs) {
    Item(spec.environment, std::string(spec.sentence) + " Takes " + Accepted(spec) + ".");
  }
}

void PutFunctions() {
  Put(".SH FUNCTIONS\n"
      ".nf\n"
      "int mesh_mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp, size_t "
      "newlen);\n"
      "size_t mesh_collect(bool force);\n"
      "int mesh_process_info(mesh_process_info_t* info, size_t size);\n"
      ".fi\n.PP\n.B mesh_mallctl\n"
      "reads the value of a key into\n.IR oldp ,\nwrites one from\n.IR newp ,\n"
      "or runs a command. It returns 0, ENOENT for an unknown key, EINVAL for a size that does\n"
      "not fit the key's type or a value out of range, or EPERM for a key that cannot be written;\n"
      "on an error nothing has changed.\n"
      ".PP\n.B mesh_collect\n"
      "gives memory back and returns how many bytes: free pages, or with\n.I force\n"
      "what meshing gains too.\n.B mesh_process_info\n"
      "tells live, physical and peak bytes, page faults and processor time.\n"
      ".PP\n.I mesh/mesh.h\n"
      "describes these and the rest: a family of functions for objects (mesh_malloc and "
      "others).\n");
}

void PutKeys() {
  Put(".SH KEYS\n");
  for (const ControlKeySpec& spec : kControlKeys) {
    Item(spec.key, "(" + std::string(spec.type) + ", " + spec.access + ") " + spec.sentence);
  }
  Put(".SS Options\nRead only; what the environment set at the start.\n");
  for (const OptionSpec& spec : kOptionSpecs) {
    Item(spec.key, "(" + std::string(TypeOf(spec)) + ") " + std::string(spec.environment) + ".");
  }
  Put(".SS Statistics\nAll size_t, read only.\n");
  for (const StatisticSpec& spec : kStatisticSpecs) Item(spec.key, spec.sentence);
#define MESH_CLASS_STATISTIC(Type, field, sentence) \
  Item("stats.class.<i>." #field, "Of size class i: " sentence);
#include "src/control/statistics.def"
#undef MESH_CLASS_STATISTIC
  Item("stats.pauses.<i>",
       "How often a thread waited from 2^(i-1) to 2^i microseconds for meshing; 0: less than 1.");
}

void PutEnd() {
  Put(".SH NOTES\n"
      "Judge memory by the proportional set size: the resident set size counts a meshed page once\n"
      "for each of its addresses.\n"
      ".SH SEE ALSO\n.BR mesh (1),\n.BR malloc (3),\n.BR mallinfo (3),\n.BR malloc_info (3),\n.BR "
      "ld.so (8)\n"
      ".PP\nB. Powers, D. Tench, E. D. Berger, A. McGregor: Mesh: Compacting Memory Management "
      "for\n"
      "C/C++ Applications. PLDI 2019.\n");
}

}  // namespace
}  // namespace mesh

int main() {
  mesh::PutStart();
  mesh::PutEnvironment();
  mesh::PutFunctions();
  mesh::PutKeys();
  mesh::PutEnd();
  return fflush(stdout) == 0 ? 0 : 1;
}
