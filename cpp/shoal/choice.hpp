// One of several types, chosen by name at run time: a loss (loss.hpp) or an activation (activation.hpp). The list of types is the only list of names.
#pragma once

#include <Eigen/Core>

#include <concepts>
#include <stdexcept>
#include <string>

namespace shoal {

// Each type has a `name` and no state.
template <class... Kinds>
class Choice {
  public:
    template <class Kind>
        requires(std::same_as<Kind, Kinds> || ...)
    constexpr Choice(Kind) {
        for (const bool same : {std::same_as<Kind, Kinds>...}) {
            if (same) return;
            ++index_;
        }
    }

    // Finds the type by its name. `what` says in the error what is being chosen.
    Choice(const std::string& what, const std::string& name) {
        constexpr int count = sizeof...(Kinds);
        const char* const names[] = {Kinds::name...};
        while (index_ < count && name != names[index_]) ++index_;
        if (index_ < count) return;
        std::string allowed = names[0];
        for (int n = 1; n < count; ++n) allowed += (n + 1 < count ? ", " : " or ") + std::string(names[n]);
        throw std::invalid_argument(what + " must be " + allowed + ", got " + name);
    }

    // Calls act(Kind()) with the chosen type, so that the compiler sees one case.
    template <class Act>
    EIGEN_ALWAYS_INLINE auto with(const Act& act) const {
        return with<Act, Kinds...>(index_, act);
    }

    template <class Kind>
    bool is() const {
        return with([](auto kind) { return std::same_as<decltype(kind), Kind>; });
    }

    const char* name() const {
        return with([](auto kind) { return decltype(kind)::name; });
    }

  private:
    template <class Act, class First, class... Rest>
    static EIGEN_ALWAYS_INLINE auto with(int index, const Act& act) {
        if constexpr (sizeof...(Rest) == 0)
            return act(First());
        else
            return index == 0 ? act(First()) : with<Act, Rest...>(index - 1, act);
    }

    int index_ = 0;  // among Kinds
};

}  // namespace shoal
