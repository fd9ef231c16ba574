// The decisions about one network's flow after an attempted step, as plain numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace shoal {

// How a height falls through its surface.
struct Fall {
    double at = std::numeric_limits<double>::infinity();  // the first place in 0..1; infinite if there is none
    double depth = 0;                                     // how far below the surface it comes
};

// Finds the fall of a height that is h0 at 0 and h1 at 1 with slopes r0 and r1, by the cubic through both ends. A height that falls from 0 falls at 0.
inline Fall find_fall(double h0, double r0, double h1, double r1) {
    // The cubic h0 + x (r0 + x (c + x d)) rises or falls between the zeros of r0 + 2 c x + 3 d x^2.
    const double c = 3 * (h1 - h0) - 2 * r0 - r1, d = r0 + r1 - 2 * (h1 - h0);
    const auto height = [&](double x) { return x == 1.0 ? h1 : h0 + x * (r0 + x * (c + x * d)); };
    double ends[4] = {0.0};
    int count = 1;
    const double square = c * c - 3 * d * r0, far = -(c + std::copysign(std::sqrt(std::max(square, 0.0)), c));
    if (square > 0) {
        double turns[2] = {far / (3 * d), r0 / far};
        if (!(turns[0] < turns[1])) std::swap(turns[0], turns[1]);
        for (const double turn : turns)
            if (turn > 0 && turn < 1) ends[count++] = turn;
    }
    ends[count++] = 1.0;
    Fall fall;
    for (int k = 0; k < count; ++k) fall.depth = std::max(fall.depth, -height(ends[k]));
    for (int k = 0; k + 1 < count; ++k) {
        double low = ends[k], high = ends[k + 1];
        if (!(height(high) < 0) || !(height(high) < height(low))) continue;
        if (height(low) > 0)
            for (int halving = 0; halving < 60 && high - low > 1e-16 * high; ++halving) {
                const double middle = 0.5 * (low + high);
                (height(middle) > 0 ? low : high) = middle;
            }
        else
            high = low;
        fall.at = high;
        break;
    }
    return fall;
}

// The outcome of an attempt.
struct Attempt {
    double length, shortest;  // floating-point time resolves no shorter lengths
    bool finite;
    double error, factor;  // the error in tolerances; the factor by which it should change the length
    double fall = std::numeric_limits<double>::infinity();  // the part of it at which the first height falls through its surface; infinite: none
    bool arrived = false;         // whether it ends on the surfaces that it falls through
    double part = 1.0;            // the part of it that keeps the gates of sliding surfaces in their range
    bool lets_go = false;         // whether a gate is out of its range at its end
    double turn = std::numeric_limits<double>::infinity();  // the part of it at which a surface begins to push away; infinite if none does
    double exit = std::numeric_limits<double>::infinity();  // the part of it at which a gate leaves its range; infinite if none does
    double usual = 0;             // its length without surfaces ahead
    bool refused_before = false;  // whether the attempt before was rejected for its error
};

enum class Act : std::int8_t {
    take,     // continue from its end
    settle,   // continue from its end, where surfaces are met or let go
    at_once,  // a surface is met where the attempt began
    again,    // try another length
    give_up,  // floating-point time resolves no shorter length
    leave,    // the flow is no longer determined
    diverge   // numbers overflow, however short it is
};

struct Decision {
    Act act;
    double length;         // of the next attempt
    bool surface = false;  // whether a surface ahead sets the length
};

inline Decision decide(const Attempt& a) {
    const bool can_shorten = a.length > a.shortest;
    const auto again = [&](double factor, bool surface) { return Decision{Act::again, std::max(factor * a.length, a.shortest), surface}; };
    if (!a.finite) return can_shorten ? again(0.2, false) : Decision{Act::diverge, a.length};
    if (a.error > 1.0) return can_shorten ? again(std::clamp(a.factor, 0.2, 1.0), false) : Decision{Act::give_up, a.length};
    const double next = std::max(a.length * std::clamp(a.factor, 0.2, a.refused_before ? 1.0 : 5.0), a.shortest);
    if (!a.arrived && a.fall <= 1.0) return a.fall * a.length > a.shortest ? again(a.fall, true) : Decision{Act::at_once, a.length};
    // A gate that leaves its range does so before its surface turns, or as it turns. If it does not, the flow is not determined.
    if (a.turn <= 1.0 && a.exit > 1.001 * a.turn) return a.turn * a.length > 1e-6 * a.usual ? again(0.5 * a.turn, true) : Decision{Act::leave, a.length};
    if (a.part < 1.0 && can_shorten) return again(a.part, true);
    return {a.arrived || a.lets_go ? Act::settle : Act::take, next};
}

}  // namespace shoal
