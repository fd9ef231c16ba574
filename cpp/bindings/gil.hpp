// Work without the GIL, on a thread that Python may end meanwhile.
//
// A daemon thread may train while the process ends. Once the interpreter finalises, a thread that asks for the GIL never gets it. Python 3.14 lets it hang;
// earlier versions end it by pthread_exit, which with glibc unwinds its frames, and elsewhere drops them. These frames own Python objects, which must not be
// released without the GIL, and data that the training threads use. So nothing is unwound here: the thread waits until the process has ended.
#pragma once

#include "shoal/arithmetic.hpp"

#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdint>
#include <thread>

namespace shoal::bindings {

namespace py = pybind11;

struct Ending {};  // thrown when the interpreter finalises
struct Raised {};  // thrown when Python's error is set; it is raised once the GIL is held again

inline bool interpreter_ends() {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

[[noreturn]] inline void wait_for_the_end() {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(24));
}

// Calls act(), in which Python may end this thread. act may call Python's C functions, but must own nothing that releases a Python object.
template <class Act>
void stay(Act&& act) {
#ifdef __GLIBCXX__
    try {
        act();
    } catch (abi::__forced_unwind&) { wait_for_the_end(); }
#else
    act();
#endif
}

// A thread that has released the GIL.
class WithoutGil {
  public:
    // Calls act(WithoutGil&) without the GIL, and takes the GIL again when it returns or throws.
    template <class Act>
    static void call(Act&& act) {
        WithoutGil here;
        try {
            act(here);
        } catch (const Ending&) { wait_for_the_end(); } catch (const Raised&) {
            here.take();
            throw py::error_already_set();
        } catch (...) {
            here.take();
            throw;
        }
        here.take();
    }

    // If `wanted`, calls act() with the GIL, under the conditions of `stay`. A result other than 0 says that it set Python's error.
    template <class Act>
    void back(bool wanted, Act&& act) {
        if (interpreter_ends()) throw Ending();
        if (!wanted) return;
        int failed = 0;
        stay([&] {
            PyEval_RestoreThread(state_);
            failed = act();
            state_ = PyEval_SaveThread();
        });
        if (failed != 0) throw Raised();
    }

  private:
    PyThreadState* state_ = PyEval_SaveThread();

    void take() {
        stay([&] { PyEval_RestoreThread(state_); });
    }
};

// Polled during training: checks for interrupts, which only the main thread gets, and reports progress.
class Watch {
  public:
    // `callers` is the arithmetic of the caller, in which progress is reported.
    Watch(const py::object& progress, Arithmetic::Mode callers) : progress_(progress.is_none() ? nullptr : progress.ptr()), callers_(callers) {
        stay([&] {
            PyObject* const threading = PyImport_ImportModule("threading");
            PyObject* const thread = threading != nullptr ? PyObject_CallMethod(threading, "main_thread", nullptr) : nullptr;
            PyObject* const ident = thread != nullptr ? PyObject_GetAttrString(thread, "ident") : nullptr;
            main_ = ident != nullptr && PyLong_AsUnsignedLong(ident) == PyThread_get_thread_ident();
            Py_XDECREF(ident), Py_XDECREF(thread), Py_XDECREF(threading);
        });
        if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    }

    void look(WithoutGil& here, std::int64_t done, std::int64_t total) const {
        here.back(main_ || progress_ != nullptr, [&] {
            if (PyErr_CheckSignals() != 0) return -1;
            if (progress_ == nullptr) return 0;
            const Arithmetic callers(callers_);
            PyObject* const said = PyObject_CallFunction(progress_, "LL", static_cast<long long>(done), static_cast<long long>(total));
            Py_XDECREF(said);
            return said == nullptr ? -1 : 0;
        });
    }

  private:
    PyObject* progress_;
    Arithmetic::Mode callers_;
    bool main_ = false;
};

}  // namespace shoal::bindings
