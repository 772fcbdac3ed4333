// The program that this process runs, as its ELF image in memory tells.
//
// Room: os. Thread rule: any thread; reads the loader's tables only. Allocates nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace mesh::os {

enum class Imports {
  kYes,      // the main program refers to the function
  kNo,       // it does not; a library of it still may
  kUnknown,  // no dynamic symbol table: linked statically
};

// Whether the main program (not its libraries) asks the loader for the function `name`.
// Source: elf(5): the symbols that its relocations name; getauxval(3), AT_PHDR.
Imports ProgramImports(std::string_view name);

// Whether `address` lies in what the loader mapped of the main program: its code and its variables.
bool IsInProgram(uintptr_t address);

// An address above all frames of the main thread's stack; 0 when the kernel has not told.
uintptr_t MainStackEnd();

}  // namespace mesh::os
