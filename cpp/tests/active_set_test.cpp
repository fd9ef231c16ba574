// The decisions of a flow in plain numbers: the outcome of an attempted step, how the flow continues where surfaces meet, whether a unit remains without
// weights.
#include "check.hpp"

#include "shoal/complementarity.hpp"
#include "shoal/flow_control.hpp"
#include "shoal/sink.hpp"

#include <random>

namespace {

using shoal::Stand;

std::mt19937_64 generator(20201125);
double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator); }
double normal() { return std::normal_distribution<double>()(generator); }

// Makes surfaces that all push back: responses -N^T N diag(c) with independent columns.
shoal::Complementarity attracting(int count) {
    shoal::Complementarity problem;
    problem.resize(count);
    std::vector<std::vector<double>> normals(count, std::vector<double>(count + 1));
    for (auto& n : normals)
        for (double& entry : n) entry = normal();
    for (int i = 0; i < count; ++i) {
        problem.speeds[i] = 2 * normal();
        problem.stands[i] = uniform(0, 1) < 0.5 ? Stand::below : Stand::above;
    }
    for (int j = 0; j < count; ++j) {
        const double pull = uniform(0.2, 2.0);
        for (int i = 0; i < count; ++i)
            for (int k = 0; k <= count; ++k) problem.response(i, j) -= pull * normals[i][k] * normals[j][k];
    }
    return problem;
}

bool is_answer(const shoal::Complementarity& problem) {
    for (int i = 0; i < problem.count(); ++i) {
        const double gate = problem.gates[i], speed = problem.speed(i);
        const Stand stand = problem.stands[i];
        if (stand == Stand::above && !(gate == 1 && speed >= -1e-9)) return false;
        if (stand == Stand::below && !(gate == 0 && speed <= 1e-9)) return false;
        if (stand == Stand::along && !(gate > -1e-9 && gate < 1 + 1e-9 && std::abs(speed) < 1e-9)) return false;
    }
    return true;
}

void attracting_surfaces_have_one_answer_whatever_the_side_that_the_network_comes_from() {
    for (int round = 0; round < 2000; ++round) {
        const int count = 1 + round % 8;
        shoal::Complementarity problem = attracting(count), other = problem;
        CHECK(problem.solve() && is_answer(problem), "round %d", round);
        for (Stand& stand : other.stands) stand = stand == Stand::above ? Stand::below : Stand::above;
        CHECK(other.solve(), "round %d", round);
        for (int i = 0; i < count; ++i)
            CHECK(std::abs(problem.gates[i] - other.gates[i]) < 1e-8, "round %d: gates %g, %g", round, problem.gates[i], other.gates[i]);
    }
}

shoal::Complementarity one(double speed, double response, Stand from) {
    shoal::Complementarity problem;
    problem.resize(1);
    problem.speeds[0] = speed;
    problem.response(0, 0) = response;
    problem.noise[0] = 1e-14;
    problem.stands[0] = from;
    return problem;
}

void one_surface_is_crossed_or_held_by_the_signs_of_both_sides() {
    struct Case {
        double speed, response;
        Stand from, to;
        double gate;
    };
    for (const Case& c : {Case{1, -3, Stand::below, Stand::along, 1.0 / 3}, Case{1, -3, Stand::above, Stand::along, 1.0 / 3},
                          Case{1, 3, Stand::below, Stand::above, 1}, Case{-1, -3, Stand::above, Stand::below, 0}, Case{-5, 3, Stand::above, Stand::below, 0},
                          // A unit that dies: nothing moves it on the far side.
                          Case{0, -3, Stand::above, Stand::below, 0},
                          // Both sides push away: the network remains on its side.
                          Case{-1, 3, Stand::below, Stand::below, 0}, Case{-1, 3, Stand::above, Stand::above, 1}}) {
        shoal::Complementarity problem = one(c.speed, c.response, c.from);
        CHECK(problem.solve() && problem.stands[0] == c.to && std::abs(problem.gates[0] - c.gate) < 1e-12, "speed %g, response %g: stand %d, gate %g", c.speed,
              c.response, int(problem.stands[0]), problem.gates[0]);
    }
}

void a_height_falls_where_its_cubic_first_does() {
    for (int round = 0; round < 20000; ++round) {
        const double h0 = uniform(0, 1), h1 = uniform(-0.3, 1), r0 = uniform(-6, 6), r1 = uniform(-6, 6);
        const double c = 3 * (h1 - h0) - 2 * r0 - r1, d = r0 + r1 - 2 * (h1 - h0);
        double first = 2, deepest = 0;
        constexpr int steps = 2000;
        for (int k = 1; k <= steps; ++k) {
            const double x = double(k) / steps, height = h0 + x * (r0 + x * (c + x * d));
            deepest = std::max(deepest, -height);
            if (height < 0 && first > 1) first = x;
        }
        const shoal::Fall fall = shoal::find_fall(h0, r0, h1, r1);
        CHECK(fall.depth >= deepest - 1e-12 && fall.depth <= deepest + 1e-4, "depth %g, %g", fall.depth, deepest);
        if (deepest > 1e-4) CHECK(fall.at <= first && fall.at >= first - 1.01 / steps, "at %g, %g", fall.at, first);
        if (fall.depth == 0) CHECK(fall.at > 1, "at %g", fall.at);
    }
    CHECK(shoal::find_fall(0, -1, -1, -1).at == 0, "a height that falls from 0");
    CHECK(shoal::find_fall(0, 1, 1, 1).at > 1, "a height that rises from 0");
}

void an_attempt_leads_to_what_came_of_it() {
    const auto attempt = [] {
        shoal::Attempt a{1.0, 1e-15, true, 0.5, 1.2};
        a.usual = 1.0;
        return a;
    };
    shoal::Attempt a = attempt();
    CHECK(shoal::decide(a).act == shoal::Act::take && shoal::decide(a).length == 1.2, "%g", shoal::decide(a).length);
    a.refused_before = true;
    CHECK(shoal::decide(a).length == 1.0, "no growth after a refusal");
    a = attempt(), a.error = 3, a.factor = 0.7;
    CHECK(shoal::decide(a).act == shoal::Act::again && shoal::decide(a).length == 0.7 && !shoal::decide(a).surface, "error");
    a.length = a.shortest;
    CHECK(shoal::decide(a).act == shoal::Act::give_up, "error at the shortest length");
    a = attempt(), a.finite = false;
    CHECK(shoal::decide(a).act == shoal::Act::again, "numbers lost");
    a.length = a.shortest;
    CHECK(shoal::decide(a).act == shoal::Act::diverge, "numbers lost at the shortest length");
    a = attempt(), a.fall = 0.25;
    CHECK(shoal::decide(a).act == shoal::Act::again && shoal::decide(a).length == 0.25 && shoal::decide(a).surface, "a surface ahead");
    a.fall = 0;
    CHECK(shoal::decide(a).act == shoal::Act::at_once, "a surface here");
    a = attempt(), a.arrived = true;
    CHECK(shoal::decide(a).act == shoal::Act::settle, "arrived");
    a.part = 0.5;
    CHECK(shoal::decide(a).act == shoal::Act::again && shoal::decide(a).length == 0.5, "a gate leaves its range before the arrival");
    a = attempt(), a.turn = 0.5;
    CHECK(shoal::decide(a).act == shoal::Act::again && shoal::decide(a).length == 0.25, "a surface turns");
    a.turn = 1e-8;
    CHECK(shoal::decide(a).act == shoal::Act::leave, "a surface has turned");
    a = attempt(), a.turn = 0.5, a.exit = 0.3, a.part = 0.3;
    CHECK(shoal::decide(a).length == 0.3, "a gate leaves its range before its surface turns");
}

void a_sink_has_no_direction_uphill() {
    int sinks = 0;
    for (int round = 0; round < 2000; ++round) {
        const int dimension = 2 + round % 2, rows = 2 + round % 5;
        std::vector<double> heard(std::size_t(rows) * dimension), pulls(rows);
        for (double& entry : heard) entry = normal();
        for (double& pull : pulls) pull = normal() - 1;
        double highest = -1e300;
        for (int k = 0; k < 20000; ++k) {
            double direction[3] = {normal(), normal(), dimension > 2 ? normal() : 0}, length = 0, up = 0;
            for (const double entry : direction) length += entry * entry;
            for (int s = 0; s < rows; ++s) {
                double along = 0;
                for (int i = 0; i < dimension; ++i) along += heard[std::size_t(s) * dimension + i] * direction[i];
                up += pulls[s] * std::max(along, 0.0);
            }
            highest = std::max(highest, up / std::sqrt(length));
        }
        shoal::Sink sink;
        const bool holds = sink.holds(dimension, heard, pulls);
        sinks += holds;
        // Random directions may miss a narrow rise, but in a sink they find none.
        if (highest > 1e-9) CHECK(!holds, "round %d: rises by %g", round, highest);
        if (highest < -0.02) CHECK(holds, "round %d: falls by %g", round, -highest);
    }
    CHECK(sinks > 100, "%d sinks", sinks);
}

}  // namespace

void run_tests() {
    attracting_surfaces_have_one_answer_whatever_the_side_that_the_network_comes_from();
    one_surface_is_crossed_or_held_by_the_signs_of_both_sides();
    a_height_falls_where_its_cubic_first_does();
    an_attempt_leads_to_what_came_of_it();
    a_sink_has_no_direction_uphill();
}
