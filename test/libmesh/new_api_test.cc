// Tests of operator new's rules over a fake heap: the handler's loop, and what it throws.
#include "src/libmesh/new_api.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>

#include "test/libmesh/fake_heap.h"

namespace mesh {
namespace {

NewHandler current = nullptr;
int handler_calls = 0;

struct FakeHandlers {
  static NewHandler Current() { return current; }
  [[noreturn]] static void ThrowBadAlloc() { throw std::bad_alloc(); }
};

using New = NewApi<FakeHeap, FakeHandlers>;

class NewApiTest : public testing::Test {
 protected:
  NewApiTest() {
    FakeHeap::Reset();
    current = nullptr;
    handler_calls = 0;
  }
};

TEST_F(NewApiTest, SuccessAsksNobody) {
  current = [] { handler_calls++; };
  EXPECT_NE(New::New(10), nullptr);
  EXPECT_NE(New::New(0), nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(New::NewAligned(10, 256)) % 256, 0u);
  EXPECT_EQ(handler_calls, 0);
}

TEST_F(NewApiTest, ThrowsBadAllocWithoutHandler) {
  FakeHeap::FailNext(2);
  EXPECT_THROW(New::New(10), std::bad_alloc);
  EXPECT_THROW(New::NewAligned(10, 64), std::bad_alloc);
}

TEST_F(NewApiTest, HandlerIsCalledUntilThereIsMemory) {
  current = [] { handler_calls++; };
  FakeHeap::FailNext(4);
  EXPECT_NE(New::New(10), nullptr);
  EXPECT_EQ(handler_calls, 4);
  FakeHeap::FailNext(1);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(New::NewAligned(10, 128)) % 128, 0u);
  EXPECT_EQ(handler_calls, 5);
}

TEST_F(NewApiTest, HandlerThatRemovesItselfEndsInBadAlloc) {
  current = [] {
    if (++handler_calls == 3) current = nullptr;
  };
  FakeHeap::FailNext(100);
  EXPECT_THROW(New::New(10), std::bad_alloc);
  EXPECT_EQ(handler_calls, 3);
}

TEST_F(NewApiTest, WhatTheHandlerThrowsPasses) {
  current = [] { throw 42; };
  FakeHeap::FailNext(1);
  EXPECT_THROW(New::New(10), int);
}

}  // namespace
}  // namespace mesh
