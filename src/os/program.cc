// See program.h.
#include "src/os/program.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace mesh::os {
namespace {

using Symbol = ElfW(Sym);
using Relocation = ElfW(Rela);
using DynamicEntry = ElfW(Dyn);
using ProgramHeader = ElfW(Phdr);

// What the program's dynamic section says, as far as it is needed here.
struct DynamicTables {
  const Symbol* symbols = nullptr;
  const char* names = nullptr;
  const Relocation* calls = nullptr;  // jump slots: functions called through the PLT
  size_t call_bytes = 0;
  const Relocation* others = nullptr;  // among them the functions called through the GOT
  size_t other_bytes = 0;
};

// The loader replaces offsets by addresses in place; before it did, they are small.
template <typename T>
const T* At(uintptr_t load_address, uintptr_t value) {
  return reinterpret_cast<const T*>(value < load_address ? value + load_address : value);
}

DynamicTables ReadTables(const DynamicEntry* entry, uintptr_t load_address) {
  DynamicTables tables;
  for (; entry->d_tag != DT_NULL; entry++) {
    uintptr_t value = entry->d_un.d_ptr;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        tables.symbols = At<Symbol>(load_address, value);
        break;
      case DT_STRTAB:
        tables.names = At<char>(load_address, value);
        break;
      case DT_JMPREL:
        tables.calls = At<Relocation>(load_address, value);
        break;
      case DT_PLTRELSZ:
        tables.call_bytes = value;
        break;
      case DT_RELA:
        tables.others = At<Relocation>(load_address, value);
        break;
      case DT_RELASZ:
        tables.other_bytes = value;
        break;
      default:
        break;
    }
  }
  return tables;
}

bool Names(const DynamicTables& tables, const Relocation* relocations, size_t bytes,
           std::string_view name) {
  if (relocations == nullptr) return false;
  for (size_t i = 0; i < bytes / sizeof(Relocation); i++) {
    size_t symbol = ELF64_R_SYM(relocations[i].r_info);
    if (symbol != 0 && name == tables.names + tables.symbols[symbol].st_name) return true;
  }
  return false;
}

struct ProgramHeaders {
  std::span<const ProgramHeader> all;
  const ProgramHeader* dynamic = nullptr;
  uintptr_t load_address = 0;
};

ProgramHeaders ReadProgramHeaders() {
  ProgramHeaders program;
  auto* headers = reinterpret_cast<const ProgramHeader*>(getauxval(AT_PHDR));
  if (headers == nullptr) return program;
  program.all = {headers, getauxval(AT_PHNUM)};
  for (const ProgramHeader& header : program.all) {
    if (header.p_type == PT_PHDR) {
      program.load_address = reinterpret_cast<uintptr_t>(headers) - header.p_vaddr;
    }
    if (header.p_type == PT_DYNAMIC) program.dynamic = &header;
  }
  return program;
}

}  // namespace

Imports ProgramImports(std::string_view name) {
  ProgramHeaders program = ReadProgramHeaders();
  if (program.dynamic == nullptr) return Imports::kUnknown;
  auto* entries =
      reinterpret_cast<const DynamicEntry*>(program.load_address + program.dynamic->p_vaddr);
  DynamicTables tables = ReadTables(entries, program.load_address);
  if (tables.symbols == nullptr || tables.names == nullptr) return Imports::kUnknown;
  bool found = Names(tables, tables.calls, tables.call_bytes, name) ||
               Names(tables, tables.others, tables.other_bytes, name);
  return found ? Imports::kYes : Imports::kNo;
}

bool IsInProgram(uintptr_t address) {
  ProgramHeaders program = ReadProgramHeaders();
  // A program at a fixed address may lack the header that tells where it was loaded; it is at 0.
  for (const ProgramHeader& header : program.all) {
    if (header.p_type != PT_LOAD) continue;
    if (address - program.load_address - header.p_vaddr < header.p_memsz) return true;
  }
  return false;
}

uintptr_t MainStackEnd() { return getauxval(AT_EXECFN); }

}  // namespace mesh::os
