// Records one network that trains alone, by the measures of lanes, on packs of which one lane is wanted.
#pragma once

#include "shoal/alone_passes.hpp"
#include "shoal/measure.hpp"
#include "shoal/sharpness.hpp"
#include "shoal/tangent_kernel.hpp"

#include <optional>

namespace shoal::alone {

template <class T>
class Recorder {
  public:
    using V = Lanes<T>;

    explicit Recorder(const Run<T>& run)
        : network_(run.network),
          record_(run.record),
          initial_(run.record.looks_at_start() ? run.network.parameters : 0),
          gradient_(run.record.gradient_norm ? run.network.parameters : 0),
          sight_(run.record.times),
          parameters_(run.network, run.record),
          samples_(run.network, run.task, run.loss, run.record),
          units_(run.network, run.task, run.record),
          test_(run.network, run.test ? *run.test : run.task, run.loss, run.record.test) {
        lanes.unmet = Unmet<V>(run.network, run.span, run.record.keeps_weights());
        std::fill_n(lanes.status, V::count, Status::ok);
        if (record_.sharpness) sharpness_.emplace(run.network, run.task, run.loss, run.penalty, run.record);
        if (record_.looks_at_kernel()) kernel_.emplace(run.network, run.task, run.record);
    }
    Recorder(const Recorder&) = delete;

    // Takes these parameters as those at initialisation.
    void start(const std::vector<T>& parameters, const Monitor& monitor) {
        if (record_.looks_at_start()) initial_ = parameters;
        if (sharpness_) sharpness_->centre(Numbers{parameters.data()}, V(1), monitor);
    }

    // Begins record number `time`, at these parameters. It is not complete if the monitor says stop.
    void begin(std::int64_t time, const std::vector<T>& parameters, const Monitor& monitor) {
        std::int64_t times[V::count];
        std::fill_n(times, V::count, std::int64_t(-1));
        times[0] = time;
        sight_.begin(lanes, times);
        parameters_.write(Numbers{parameters.data()}, Numbers{initial_.data()}, sight_);
        if (sharpness_) sharpness_->write(Numbers{parameters.data()}, sight_, monitor);
        if (kernel_) kernel_->write(Numbers{parameters.data()}, Numbers{initial_.data()}, sight_, monitor);
    }

    // Records the gradient at those parameters, of all shares.
    void see_gradient(Model<T>& model, const std::vector<Rows<T>>& shares) {
        model.write_gradient(shares, gradient_);
        parameters_.write_gradient(Numbers{gradient_.data()}, sight_);
    }

    // Ends the record, once all samples have been seen at those parameters. If they showed the network to be lost, the record is empty.
    void end(const Samples<T>& samples, const Samples<T>* test, const std::vector<Activity<T>>& shares) {
        parameters_.forget(sight_);
        if (kernel_) kernel_->forget(sight_);
        measure(samples_, samples);
        if (test) measure(test_, *test);
        for (int l = 0, unit = 0; l < network_.hidden_layers() && !shares[0].counts.empty(); ++l)
            for (int o = 0; o < network_.layers[l].outputs; ++o, ++unit) {
                double sum = 0;
                for (const Activity<T>& share : shares) sum += share.counts[l][o];
                units_.take(unit, sum);
            }
        units_.write(sight_);
    }

    // Makes an empty record of a network that has diverged.
    void forget(std::int64_t time, const std::vector<T>& parameters, const Samples<T>* test, const Monitor& monitor) {
        begin(time, parameters, monitor);
        parameters_.forget(sight_);
        if (kernel_) kernel_->forget(sight_);
        samples_.clear();
        samples_.write(sight_);
        units_.clear();
        units_.write(sight_);
        test_.clear();
        if (test) test_.write(sight_);
    }

    // Copies the record just taken to all later ones.
    void hold() const {
        parameters_.hold(sight_);
        if (kernel_) kernel_->hold(sight_);
        samples_.hold(sight_);
        units_.hold(sight_);
        test_.hold(sight_);
    }

    void write_end(const std::vector<T>& parameters, const std::vector<T>& velocity) const {
        parameters_.write_end(lanes, 0, Numbers{parameters.data()}, Numbers{velocity.data()});
    }

    // The address of this record's patterns of units, (hidden units, samples).
    bool* pattern(const Record<T>& record, std::int64_t time, int samples) const {
        return record.pattern ? record.pattern + (lanes.network[0] * record.times + time) * network_.units() * std::int64_t(samples) : nullptr;
    }

    PackLanes<V> lanes;  // the first one is the network

  private:
    // The numbers of one network, read as those of a pack.
    struct Numbers {
        static constexpr int apart = 1;
        const T* numbers;
        V operator[](std::int64_t n) const { return numbers[n]; }
        const T* at(std::int64_t n) const { return numbers + n; }
    };
    struct Outputs {
        const T* numbers;
        int outputs;
        V output(int sample, int output) const { return numbers[std::int64_t(sample) * outputs + output]; }
    };

    void measure(SampleMeasure<V>& of, const Samples<T>& samples) {
        of.clear();
        of.see(0, samples.task.samples, Outputs{samples.outputs.data(), network_.outputs()}, sight_);
        of.write(sight_);
    }

    const Network& network_;
    const Record<T>& record_;
    std::vector<T> initial_, gradient_;  // empty if distance, or gradient, is not recorded
    Sight<V> sight_;
    ParameterMeasure<V> parameters_;
    std::optional<Sharpness<V>> sharpness_;
    std::optional<KernelMeasure<V>> kernel_;
    SampleMeasure<V> samples_;
    UnitMeasure<V> units_;
    SampleMeasure<V> test_;
};

}  // namespace shoal::alone
