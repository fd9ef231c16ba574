// The training of networks that train alone, one after the other, by the threads of a team: they take the shares of its samples as they come, then move its
// parameters part by part.
#pragma once

#include "shoal/alone_recorder.hpp"
#include "shoal/alone_slack.hpp"
#include "shoal/alone_stop.hpp"
#include "shoal/descent_method.hpp"
#include "shoal/monitor.hpp"

#include <cstring>
#include <numeric>

namespace shoal::alone {

// The most samples of which a block may be cut.
template <class T>
int most_samples(const Run<T>& run) {
    return std::max(run.task.samples, run.test ? run.test->samples : 0);
}

// A network between two steps of its training, which another engine began.
template <class T>
struct Straggler {
    std::int64_t network, step, record;  // its number, the steps it has taken, its next record
    std::vector<T> parameters;
    std::vector<double> velocity;  // where there is momentum
};

// State that the threads of a team share. One thread runs `turn` at the barrier, while the others wait; it makes all scalar decisions.
template <class T>
class Training {
  public:
    using V = Lanes<T>;

    Training(const Run<T>& run, const DescentMethod<T>& method, int members)
        : run_(run),
          method_(method),
          model_(run.network, run.penalty, method.moves.momentum != 0),
          samples_(run.network, run.task, run.penalty.spectral_decoupling),
          recorder_(run),
          slack_(run),
          drawing_(run.network, run.span),
          parameters_(run.network.parameters),
          velocity_(run.record.velocity.empty() ? 0 : run.network.parameters),
          before_{std::vector<T>(run.network.parameters), std::vector<T>(method.moves.momentum != 0 ? run.network.parameters : 0)},
          after_(before_),
          block_(Passes<T>::block_samples(run.network, most_samples(run), run.tuning)),
          alone_(members == 1),
          slow_(std::int64_t(run.network.parameters) * run.task.samples > 1 << 16),
          shares_(shares(run.network, run.task.learnt)),
          rest_shares_(run.task.learnt < run.task.samples ? shares(run.network, run.task.samples - run.task.learnt) : 0),
          stops_(run, method.stop, shares_) {
        for (int n = 0; n < (members == 1 ? std::min(2, shares_) : shares_); ++n) slopes_.emplace_back(run.network);
        if (members == 1 && shares_ > 1) current_.push_back(std::move(slopes_.back())), slopes_.pop_back();
        activity_.resize(shares_ + rest_shares_);
        seen_.assign(shares_, 0);
        for (Activity<T>& activity : activity_)
            for (int l = 0; run.record.looks_at_units() && l < run.network.hidden_layers(); ++l) activity.counts.emplace_back(run.network.layers[l].outputs);
        if (run.test && run.record.test.wanted()) test_.emplace(run.network, *run.test, 0.0);
        test_shares_ = test_ ? shares(run.network, test_->task.samples) : 0;
    }

    // Trains the networks begin .. end - 1, together with the other members. One member `leads`. `meet()` waits for all, and calls `turn` once.
    template <class Meet>
    void take_part(std::int64_t begin, std::int64_t end, bool leads, Monitor& monitor, Passes<T>& passes, Meet&& meet) {
        for (std::int64_t network = begin; network < end; ++network) {
            if (leads) start(network, monitor);
            meet();
            if (leave_) return;
            if (run_.network.centred && !centre(leads, monitor, passes, meet)) return;
            while (true) {
                if (leads && recorded_) model_.write(parameters_), recorder_.begin(record_, parameters_, monitor);
                take_shares(monitor, passes);
                meet();
                if (leave_) return;
                if (leads && recorded_) recorder_.end(samples_, test_ ? &*test_ : nullptr, activity_);
                if (leads && recorded_ && done()) recorder_.hold();
                if (last_) break;
                if (!done()) move_parts();
                meet();
                if (leave_) return;
            }
            if (!leads) continue;
            model_.write(parameters_);
            if (!run_.record.velocity.empty()) model_.write_velocity(velocity_);
            recorder_.write_end(parameters_, velocity_);
        }
    }

    // Lets the next network that begins be this one, from where it is; nullptr: one that is drawn.
    void continue_from(const Straggler<T>* straggler) { straggler_ = straggler; }

    // Runs between two stages, while no member works.
    void turn(Monitor& monitor) noexcept {
        next_.store(0, std::memory_order_relaxed);
        leave_ = monitor.stopped();
        if (leave_) return void(stage_ = Stage::start);
        switch (stage_) {
            case Stage::start:
                step_ = straggler_ ? straggler_->step : 0, record_ = straggler_ ? straggler_->record : 0;
                recorded_ = rests_ = false;
                if (run_.network.centred) {
                    stage_ = Stage::centre, first_item_ = 0, items_ = shares_ + rest_shares_ + test_shares_;
                    break;
                }
                [[fallthrough]];
            case Stage::centred: stage_ = Stage::shares, plan_step(monitor); break;
            case Stage::centre: stage_ = Stage::centred; break;
            case Stage::shares:
                if (wants_gradient()) recorder_.see_gradient(model_, slopes_);
                if (take_lost() && !stopped()) stop(Status::diverged);
                if (stops_.any() && !stopped()) stop(stops_.status(samples_));
                stage_ = last_ ? Stage::start : Stage::move;
                if (!last_ && watches()) before_.take(model_);
                break;
            case Stage::move:
                stage_ = Stage::shares;
                if (stopped()) {
                    end_early(monitor);
                    break;
                }
                slack_.step(model_);
                if (watches()) after_.take(model_), rests_ = after_ == before_;
                ++step_, record_ += recorded_;
                monitor.stepped(1);
                if (rests_) {
                    recorded_ = false;
                    end_early(monitor);
                    break;
                }
                plan_step(monitor);
                break;
        }
        if (slow_) monitor.report();
    }

    // The number of learnt samples that forward passes have seen so far.
    std::int64_t samples_seen() const { return std::accumulate(seen_.begin(), seen_.end(), std::int64_t(0)); }

  private:
    enum class Stage { start, centre, centred, shares, move };

    // What a step moves.
    struct Place {
        std::vector<T> parameters, velocity;

        void take(const Model<T>& model) {
            model.write(parameters);
            if (!velocity.empty()) model.write_velocity(velocity);
        }
        bool operator==(const Place& other) const {
            const auto same = [](const std::vector<T>& a, const std::vector<T>& b) { return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0; };
            return same(parameters, other.parameters) && same(velocity, other.velocity);
        }
    };

    const Run<T>& run_;
    const DescentMethod<T>& method_;
    Model<T> model_;
    Samples<T> samples_;
    std::optional<Samples<T>> test_;
    Recorder<T> recorder_;
    Slack<T> slack_;
    Drawing drawing_;
    std::vector<T> parameters_, velocity_;  // as Network numbers them, when they are drawn or recorded
    Place before_, after_;  // a step that checks
    int block_;  // samples of a block
    bool alone_;  // whether there is one member
    bool slow_;  // whether a step takes so long that each is reported
    int shares_, rest_shares_, test_shares_ = 0;  // of the samples that are learnt, of the others, of the test samples
    Stops<T> stops_;
    std::vector<Rows<T>> slopes_;  // of each share; a member alone adds them up as they come,
    std::vector<Rows<T>> current_;  // one after the other
    std::vector<Activity<T>> activity_;
    std::vector<std::int64_t> seen_;  // per share: how many samples forward passes have seen

    Stage stage_ = Stage::start;
    std::int64_t step_ = 0, record_ = 0;
    int first_item_ = 0, items_ = 0;  // range of shares to be seen
    bool recorded_ = false, last_ = false, leave_ = false, rests_ = false;
    const Straggler<T>* straggler_ = nullptr;
    std::atomic<bool> lost_{false};  // whether a parameter, or the loss, is not finite
    std::atomic<int> next_{0};

    // The next share or part. A member alone does without the locked instruction, for which all stores before it have to be done.
    int take_next() {
        if (!alone_) return next_.fetch_add(1, std::memory_order_relaxed);
        const int next = next_.load(std::memory_order_relaxed);
        next_.store(next + 1, std::memory_order_relaxed);
        return next;
    }
    bool take_lost() { return lost_.load(std::memory_order_relaxed) && lost_.exchange(false); }

    void start(std::int64_t network, const Monitor& monitor) {
        std::fill(samples_.at_start.begin(), samples_.at_start.end(), T(0));
        if (test_) std::fill(test_->at_start.begin(), test_->at_start.end(), T(0));
        recorder_.lanes.network[0] = network;
        recorder_.lanes.status[0] = Status::ok;
        recorder_.lanes.stopped_at[0] = -1;
        load(run_.start);
        recorder_.start(parameters_, monitor);
        if (!run_.network.centred) load_present();
        if (method_.moves.momentum != 0) load_velocity();
    }

    // Loads the weights from which training goes on, where those are not the initial ones.
    void load_present() {
        if (run_.resumed) load(*run_.resumed);
        if (straggler_) load(straggler_->parameters);
    }

    void load_velocity() {
        if (straggler_) return model_.load_velocity(&straggler_->velocity);
        const std::optional<Start>& given = method_.moves.velocity;
        const std::int64_t network = recorder_.lanes.network[0];
        if (given) drawing_.draw(*given, run_.seed, run_.first + network, run_.position + network);
        model_.load_velocity(given ? &drawing_.trained() : nullptr);
    }

    void load(const Start& start) {
        const std::int64_t network = recorder_.lanes.network[0];
        const double largest = drawing_.draw(start, run_.seed, run_.first + network, run_.position + network);
        std::transform(drawing_.trained().begin(), drawing_.trained().end(), parameters_.begin(), [](double number) { return T(number); });
        recorder_.lanes.unmet.take(0, drawing_);
        load(parameters_);
        lost_ = !std::isfinite(T(largest));
    }

    void load(const std::vector<T>& parameters) {
        model_.load(parameters);
        slack_.start(model_);
    }

    // Takes the outputs at initialisation as those from which a centred network counts.
    template <class Meet>
    bool centre(bool leads, Monitor& monitor, Passes<T>& passes, Meet&& meet) {
        take_shares(monitor, passes);
        meet();
        if (leave_) return false;
        if (leads) {
            samples_.at_start = samples_.outputs;
            if (test_) test_->at_start = test_->outputs;
            load_present();
        }
        meet();
        return !leave_;
    }

    // Plans this step: whether it is recorded, whether it is the last, which shares have to be seen.
    void plan_step(Monitor& monitor) {
        if (take_lost()) return give_up(monitor);
        const std::vector<std::int64_t>& steps = method_.record_steps;
        recorded_ = record_ < std::int64_t(steps.size()) && steps[record_] == step_;
        last_ = step_ == method_.steps;
        plan_shares(true);
    }

    // Chooses the samples to see: learnt ones if anything needs them, and measured ones if they are recorded.
    void plan_shares(bool seen) {
        const bool looks = recorded_ && run_.record.looks_at_samples();
        first_item_ = looks ? 0 : seen || wants_gradient() ? rest_shares_ : rest_shares_ + shares_;
        items_ = rest_shares_ + shares_ + (recorded_ ? test_shares_ : 0);
    }

    bool wants_gradient() const { return recorded_ && run_.record.gradient_norm; }

    // Whether the network has diverged or met a rule, and learns no more.
    bool stopped() const { return recorder_.lanes.status[0] != Status::ok; }
    void stop(Status status) {
        if (status == Status::ok) return;
        recorder_.lanes.status[0] = status;
        recorder_.lanes.stopped_at[0] = step_;
    }

    bool done() const { return stopped() || rests_; }

    // Whether this step also checks whether the network still moves.
    bool watches() const { return method_.watches(step_); }

    // Ends a network that meets a rule, without its step, or that no step moves any more. The remaining records equal the present: they are copied, or one more
    // pass is made for them.
    void end_early(Monitor& monitor) {
        recorded_ = !recorded_ && record_ < run_.record.times, last_ = true;
        plan_shares(false);
        monitor.stepped(method_.steps - step_);
    }

    // Ends a network that has diverged: its remaining records are empty.
    void give_up(Monitor& monitor) {
        stop(Status::diverged);
        for (; record_ < std::int64_t(method_.record_steps.size()); ++record_) recorder_.forget(record_, parameters_, test_ ? &*test_ : nullptr, monitor);
        monitor.stepped(method_.steps - step_);
        recorded_ = false, last_ = true, first_item_ = items_ = 0;
    }

    void take_shares(Monitor& monitor, Passes<T>& passes) {
        for (int item; (item = first_item_ + take_next()) < items_;) {
            const int share = item - rest_shares_;
            if (share >= shares_)
                see_blocks(monitor, Share::of(test_->task.samples, test_shares_, share - shares_),
                           [&](const Block& block) { passes.forward(model_, *test_, block); });
            else if (share >= 0)
                take_share(share, monitor, passes);
            else
                measure_share(item, monitor, passes);
        }
    }

    // Measures a share of the samples of weight 0.
    void measure_share(int item, Monitor& monitor, Passes<T>& passes) {
        const bool looks = begin_activity(item);
        Share samples = Share::of(run_.task.samples - run_.task.learnt, rest_shares_, item);
        samples.first += run_.task.learnt;
        see_blocks(monitor, samples, [&](const Block& block) {
            passes.forward(model_, samples_, block);
            if (looks) passes.see_units(block.first, block.count, run_.task, activity_[item]);
        });
    }

    // Whether this pass looks at the activity of units; if so, clears the counts.
    bool begin_activity(int item) {
        if (stage_ != Stage::shares || !recorded_ || !run_.record.looks_at_units()) return false;
        for (std::vector<double>& counts : activity_[item].counts) std::fill(counts.begin(), counts.end(), 0.0);
        activity_[item].pattern = recorder_.pattern(run_.record, record_, run_.task.samples);
        return true;
    }

    void take_share(int share, Monitor& monitor, Passes<T>& passes) {
        const bool back = stage_ == Stage::shares && (!last_ || wants_gradient()), looks = begin_activity(rest_shares_ + share);
        const bool adds = !current_.empty() && share > 0;
        Rows<T>& slopes = adds ? current_[0] : slopes_[current_.empty() ? share : 0];
        const bool rests = back && slack_.kept() && !stops_.looks_at_units() && !(recorded_ && run_.record.looks_at_samples());
        const Share samples = Share::of(run_.task.learnt, shares_, share);
        Begin begin = Begin::zero;
        stops_.begin(share);
        const auto see = [&](const Block& block) {
            passes.forward(model_, samples_, block);
            if (stage_ == Stage::shares && passes.lost(samples_, block)) lost_.store(true, std::memory_order_relaxed);
            seen_[share] += block.count;
            if (looks) passes.see_units(block.first, block.count, run_.task, activity_[rest_shares_ + share]);
            stops_.see(share, block, passes);
            if (back && slack_.kept()) slack_.look(samples_, block);
            if (back) passes.backward(model_, samples_, block, slopes, begin);
            begin = Begin::stored;
        };
        if (rests)
            see_blocks(monitor, slack_.awake(samples), see);
        else
            see_blocks(monitor, samples, see);
        if (back && begin == Begin::zero) passes.backward(model_, samples_, {samples.first, 0}, slopes, begin);
        if (back && adds) slopes_[0].add(slopes);
    }

    // act(first, count) for each block of so many samples.
    template <class Act>
    void for_each_block(int samples, Act&& act) const {
        for (int first = 0; first < samples; first += block_) act(first, std::min(block_, samples - first));
    }
    template <class Act>
    void see_blocks(const Monitor& monitor, Share share, Act&& act) {
        for_each_block(share.samples, [&](int first, int count) {
            if (!monitor.stopped()) act(Block{share.first + first, count});
        });
    }
    template <class Act>
    void see_blocks(const Monitor& monitor, std::span<const int> chosen, Act&& act) {
        if (chosen.empty()) return;
        for_each_block(int(chosen.size()), [&](int first, int count) {
            const int* const members = chosen.data() + first;
            const bool side_by_side = members[count - 1] - members[0] == count - 1;
            if (!monitor.stopped()) act(Block{members[0], count, side_by_side ? nullptr : members});
        });
    }

    void move_parts() {
        const Moves<T>& moves = method_.moves;
        const Update<V> update{V(-moves.rate(run_.position + recorder_.lanes.network[0], step_)), V(moves.momentum), moves.nesterov};
        V seen = 0;
        for (int part; (part = take_next()) < model_.parts();) {
            seen = seen + model_.move(part, slopes_, update);
            if (slack_.kept()) model_.for_each_first_row(part, [&](int unit) { slack_.follow(unit, model_); });
        }
        if (gathered(seen)) lost_.store(true, std::memory_order_relaxed);
    }
};

}  // namespace shoal::alone
