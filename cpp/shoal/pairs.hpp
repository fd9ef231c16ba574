// The explicit Runge-Kutta pairs of flows, with their continuous extensions. With slopes k_j = -grad at theta + h sum_i a_ji k_i, a step is
//
//   theta' = theta + h sum_j a_nj k_j with n the last slope of the step, which is the first of the next;   theta(t + x h) = theta + h sum_j w_j(x) k_j
//
//   tsitouras        order 5(4), 6 new slopes per step: Ch. Tsitouras, Comput. Math. Appl. 62 (2011) 770
//   dormand_prince   order 8(5,3), 12 new slopes per step, 3 more for a continuous extension of order 7: Hairer, Norsett, Wanner, Solving Ordinary
//                    Differential Equations I, 2nd edition (1993), section II.10: DOP853
#pragma once

#include "shoal/lanes.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

namespace shoal {

// A sum over slopes, in ascending order, without those of weight 0.
struct Term {
    int slope;
    double weight;
};
using Terms = std::vector<Term>;

namespace tsitouras {

constexpr int slopes = 7;
constexpr double a[slopes][slopes - 1] = {
    {},
    {0.161},
    {-0.008480655492356989, 0.335480655492357},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774},
};
constexpr double error[slopes] = {
    -0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629, 0.5823571654525552, -0.45808210592918697, 1.0 / 66.0};
// w_1 = x (c10 + c11 x + ...) and the others x^2 (ci0 + ci1 x + ci2 x^2).
constexpr double first[4] = {1.0, -2.763706197274826, 2.9132554618219126, -1.0530884977290216};
constexpr double others[slopes - 1][3] = {
    {0.13169999999999998, -0.2234, 0.1017},
    {3.9302962368947516, -5.941033872131505, 2.490627285651253},
    {-12.411077166933676, 30.33818863028232, -16.548102889244902},
    {37.50931341651104, -88.1789048947664, 47.37952196281928},
    {-27.896526289197286, 65.09189467479366, -34.87065786149661},
    {1.5, -4.0, 2.5},
};

}  // namespace tsitouras

namespace dormand_prince {

constexpr int slopes = 13, more = 3;
constexpr double a[slopes + more][slopes + more] = {
    {},
    {0.05260015195876773},
    {0.0197250569845379, 0.0591751709536137},
    {0.02958758547680685, 0, 0.08876275643042054},
    {0.2413651341592667, 0, -0.8845494793282861, 0.924834003261792},
    {0.037037037037037035, 0, 0, 0.17082860872947386, 0.12546768756682242},
    {0.037109375, 0, 0, 0.17025221101954405, 0.06021653898045596, -0.017578125},
    {0.03709200011850479, 0, 0, 0.17038392571223998, 0.10726203044637328, -0.015319437748624402, 0.008273789163814023},
    {0.6241109587160757, 0, 0, -3.3608926294469414, -0.868219346841726, 27.59209969944671, 20.154067550477894, -43.48988418106996},
    {0.47766253643826434, 0, 0, -2.4881146199716677, -0.590290826836843, 21.230051448181193, 15.279233632882423, -33.28821096898486, -0.020331201708508627},
    {-0.9371424300859873, 0, 0, 5.186372428844064, 1.0914373489967295, -8.149787010746927, -18.52006565999696, 22.739487099350505, 2.4936055526796523,
     -3.0467644718982196},
    {2.273310147516538, 0, 0, -10.53449546673725, -2.0008720582248625, -17.9589318631188, 27.94888452941996, -2.8589982771350235, -8.87285693353063,
     12.360567175794303, 0.6433927460157636},
    {0.054293734116568765, 0, 0, 0, 0, 4.450312892752409, 1.8915178993145003, -5.801203960010585, 0.3111643669578199, -0.1521609496625161, 0.20136540080403034,
     0.04471061572777259},
    {0.056167502283047954, 0, 0, 0, 0, 0, 0.25350021021662483, -0.2462390374708025, -0.12419142326381637, 0.15329179827876568, 0.00820105229563469,
     0.007567897660545699, -0.008298},
    {0.03183464816350214, 0, 0, 0, 0, 0.028300909672366776, 0.053541988307438566, -0.05492374857139099, 0, 0, -0.00010834732869724932, 0.0003825710908356584,
     -0.00034046500868740456, 0.1413124436746325},
    {-0.42889630158379194, 0, 0, 0, 0, -4.697621415361164, 7.683421196062599, 4.06898981839711, 0.3567271874552811, 0, 0, 0, -0.0013990241651590145,
     2.9475147891527724, -9.15095847217987},
};
constexpr double error_of_order_5[slopes] = {0.01312004499419488,
                                             0,
                                             0,
                                             0,
                                             0,
                                             -1.2251564463762044,
                                             -0.4957589496572502,
                                             1.6643771824549864,
                                             -0.35032884874997366,
                                             0.3341791187130175,
                                             0.08192320648511571,
                                             -0.022355307863886294};
constexpr double error_of_order_3[slopes] = {
    -0.18980075407240762, 0, 0, 0, 0, 4.450312892752409, 1.8915178993145003, -5.801203960010585, -0.4226823213237919, -0.1521609496625161, 0.20136540080403034,
    0.02265179219836082};
// With b the weights of the step and e the unit vectors, w = x (b + (1 - x) (e_1 - b + x (2 b - e_1 - e_13 + (1 - x) (d_0 + x (d_1 + (1 - x) (d_2 + x d_3)))))).
constexpr double d[4][slopes + more] = {
    {-8.428938276109013, 0, 0, 0, 0, 0.5667149535193777, -3.0689499459498917, 2.38466765651207, 2.117034582445028, -0.871391583777973, 2.2404374302607883,
     0.6315787787694688, -0.08899033645133331, 18.148505520854727, -9.194632392478356, -4.436036387594894},
    {10.427508642579134, 0, 0, 0, 0, 242.28349177525817, 165.20045171727028, -374.5467547226902, -22.113666853125306, 7.733432668472264, -30.674084731089398,
     -9.332130526430229, 15.697238121770845, -31.139403219565178, -9.35292435884448, 35.81684148639408},
    {19.985053242002433, 0, 0, 0, 0, -387.0373087493518, -189.17813819516758, 527.8081592054236, -11.57390253995963, 6.8812326946963, -1.0006050966910838,
     0.7777137798053443, -2.778205752353508, -60.19669523126412, 84.32040550667716, 11.99229113618279},
    {-25.69393346270375, 0, 0, 0, 0, -154.18974869023643, -231.5293791760455, 357.6391179106141, 93.40532418362432, -37.45832313645163, 104.0996495089623,
     29.8402934266605, -43.53345659001114, 96.32455395918828, -39.17726167561544, -149.72683625798564},
};

}  // namespace dormand_prince

// One of both. That of order 8 takes a fifth of the steps where tolerances are tight; that of order 5 is faster where they are loose, and its steps are short
// enough for a cubic to see how the height of a kink falls.
class Pair {
  public:
    static constexpr int most_slopes = dormand_prince::slopes + dormand_prince::more;

    Pair(bool has_kinks, double rtol) : order_(has_kinks || rtol > 1e-7 ? 5 : 8) {
        const auto add = [](std::vector<Terms>& to, const double* weights, int count) {
            Terms& terms = to.emplace_back();
            for (int j = 0; j < count; ++j)
                if (weights[j] != 0) terms.push_back({j, weights[j]});
        };
        if (order_ == 5) {
            for (const auto& row : tsitouras::a) add(stages_, row, int(std::size(row)));
            add(errors_, tsitouras::error, tsitouras::slopes);
        } else {
            for (const auto& row : dormand_prince::a) add(stages_, row, int(std::size(row)));
            add(errors_, dormand_prince::error_of_order_5, dormand_prince::slopes);
            add(errors_, dormand_prince::error_of_order_3, dormand_prince::slopes);
        }
    }

    // Numbers of slopes: the last of a step, and the last of all, with those that only records need.
    int last() const { return (order_ == 5 ? tsitouras::slopes : dormand_prince::slopes) - 1; }
    int very_last() const { return int(stages_.size()) - 1; }

    // How far theta moves to where a slope is taken, in steps; and the errors of a step, likewise.
    const Terms& stage(int slope) const { return stages_[slope]; }
    const std::vector<Terms>& errors() const { return errors_; }

    // The error of a step from the largest of its one or two `errors`, in tolerances.
    double error(double first, double second) const {
        if (order_ == 5 || !(first > 0)) return first;
        const double ratio = 0.1 * second / first;
        return first / std::sqrt(1 + ratio * ratio);
    }
    // The error grows like h^order.
    int order() const { return order_; }

    // Whether a slope has a weight within a step.
    bool matters_within(int slope) const { return order_ == 5 || dormand_prince::d[0][slope] != 0; }

    // The weights of all slopes, times the step h, at a fraction x of it.
    template <AnyLanes V>
    void weights_within(V x, V h, V* weights) const {
        using T = typename V::Scalar;
        if (order_ == 5) {
            const auto& c = tsitouras::first;
            weights[0] = h * x * fma(fma(fma(V(T(c[3])), x, V(T(c[2]))), x, V(T(c[1]))), x, V(T(c[0])));
            for (int j = 1; j < tsitouras::slopes; ++j) {
                const auto& other = tsitouras::others[j - 1];
                weights[j] = h * x * x * fma(fma(V(T(other[2])), x, V(T(other[1]))), x, V(T(other[0])));
            }
            return;
        }
        const V rest = V(1) - x;
        for (int j = 0; j < most_slopes; ++j) {
            const double b = dormand_prince::a[dormand_prince::slopes - 1][j], begins = j == 0, ends = j == dormand_prince::slopes - 1;
            const double nested[] = {dormand_prince::d[2][j], dormand_prince::d[1][j], dormand_prince::d[0][j], 2 * b - begins - ends, begins - b, b};
            V sum = V(T(dormand_prince::d[3][j]));
            bool by_rest = false;
            for (const double next : nested) sum = fma(by_rest ? rest : x, sum, V(T(next))), by_rest = !by_rest;
            weights[j] = h * x * sum;
        }
    }

  private:
    int order_;
    std::vector<Terms> stages_, errors_;
};

}  // namespace shoal
