// Records all requested measures of a pack at the moments that a method chooses. Methods do not know the measures.
#pragma once

#include "shoal/cohort.hpp"
#include "shoal/measure.hpp"
#include "shoal/monitor.hpp"
#include "shoal/sharpness.hpp"
#include "shoal/tangent_kernel.hpp"

#include <optional>

namespace shoal {

template <AnyLanes V>
class Recorder {
  public:
    using T = typename V::Scalar;
    static constexpr int L = V::count;

    explicit Recorder(const Run<T>& run)
        : record_(run.record),
          sight_(run.record.times),
          parameters_(run.network, run.record),
          samples_(run.network, run.task, run.loss, run.record),
          units_(run.network, run.task, run.record) {
        if (record_.gradient_norm) slope_.emplace(run);
        if (record_.sharpness) sharpness_.emplace(run.network, run.task, run.loss, run.penalty, run.record);
        if (record_.looks_at_kernel()) kernel_.emplace(run.network, run.task, run.record);
        if (run.test && record_.test.wanted()) test_.emplace(run);
    }

    // For centred networks, takes the outputs at these parameters as those at initialisation, in lanes whose `fresh` is not 0.
    bool centre(const Pack<V>& parameters, V fresh, const Monitor& monitor) {
        const auto go_on = [&] { return !monitor.stopped(); };
        return (!slope_ || slope_->pass.centre(parameters, fresh, go_on)) && (!sharpness_ || sharpness_->centre(parameters, fresh, monitor)) &&
               (!test_ || test_->pass.centre(parameters, fresh, go_on));
    }

    // Begins record number times[lane] of each lane, none if negative. Then call `see` for each block of a forward pass at these parameters, then `end`.
    // Returns false if the monitor says stop.
    bool begin(const PackLanes<V>& lanes, const std::int64_t (&times)[L], const Pack<V>& parameters, const Monitor& monitor) {
        sight_.begin(lanes, times);
        parameters_.write(parameters, lanes.initial, sight_);
        if (slope_ && !slope_->look(parameters, monitor)) return false;
        if (slope_) parameters_.write_gradient(slope_->numbers, sight_);
        if (sharpness_ && !sharpness_->write(parameters, sight_, monitor)) return false;
        if (kernel_ && !kernel_->write(parameters, lanes.initial, sight_, monitor)) return false;
        samples_.clear();
        units_.clear();
        return !test_ || test_->look(parameters, sight_, monitor);
    }

    void see(int first, int count, const Gradient<V>& pass) {
        samples_.see(first, count, pass, sight_);
        units_.see(first, count, pass, sight_);
    }

    // Ends the record. Lanes that the pass showed to be lost, and whose status says so, are left empty.
    void end() {
        parameters_.forget(sight_);
        if (kernel_) kernel_->forget(sight_);
        if (test_) test_->measure.forget(sight_);
        samples_.write(sight_);
        units_.write(sight_);
    }

    // Makes a whole record by a forward pass of its own.
    bool look(Gradient<V>& pass, const PackLanes<V>& lanes, const std::int64_t (&times)[L], const Pack<V>& parameters, const Monitor& monitor) {
        if (!begin(lanes, times, parameters, monitor)) return false;
        const auto see_block = [&](int first, int count, const Gradient<V>& seen) {
            see(first, count, seen);
            return !monitor.stopped();
        };
        if (record_.looks_at_samples() && !pass.forward_only(parameters, see_block)) return false;
        end();
        return true;
    }

    // Fills all later records with the ones just taken.
    void hold() const {
        parameters_.hold(sight_);
        if (kernel_) kernel_->hold(sight_);
        samples_.hold(sight_);
        units_.hold(sight_);
        if (test_) test_->measure.hold(sight_);
    }

    // `velocity` is read only if it is recorded.
    void write_end(const PackLanes<V>& lanes, int lane, const Pack<V>& parameters, const Pack<V>& velocity) const {
        parameters_.write_end(lanes, lane, parameters, velocity);
    }

  private:
    // The gradient at the parameters of a record, by passes of its own: with rates of 1 and without held gates.
    struct Slope {
        explicit Slope(const Run<T>& run)
            : network(with_unit_rates(run.network)), pass(network, run.task, run.loss, run.penalty, run.tuning), numbers(run.network.parameters) {}
        Slope(const Slope&) = delete;

        bool look(const Pack<V>& parameters, const Monitor& monitor) {
            Keep keep{numbers.at(0)};
            return pass(parameters, [&](int, int, const Gradient<V>&) { return !monitor.stopped(); }, keep);
        }

        struct Keep {
            T* to;
            EIGEN_ALWAYS_INLINE void operator()(int number, V, V slope) { slope.store(to + std::int64_t(number) * L); }
        };

        const Network network;
        Gradient<V> pass;
        Pack<V> numbers;
    };

    // The test samples, in blocks of their own.
    struct Test {
        explicit Test(const Run<T>& run) : pass(run.network, *run.test, run.loss, {}, run.tuning), measure(run.network, *run.test, run.loss, run.record.test) {}

        bool look(const Pack<V>& parameters, const Sight<V>& sight, const Monitor& monitor) {
            measure.clear();
            const auto see_block = [&](int first, int count, const Gradient<V>& seen) {
                measure.see(first, count, seen, sight);
                return !monitor.stopped();
            };
            if (!pass.forward_only(parameters, see_block)) return false;
            measure.write(sight);
            return true;
        }

        Gradient<V> pass;
        SampleMeasure<V> measure;
    };

    const Record<T>& record_;
    Sight<V> sight_;
    ParameterMeasure<V> parameters_;
    SampleMeasure<V> samples_;
    UnitMeasure<V> units_;
    std::optional<Slope> slope_;
    std::optional<Sharpness<V>> sharpness_;
    std::optional<KernelMeasure<V>> kernel_;
    std::optional<Test> test_;
};

}  // namespace shoal
