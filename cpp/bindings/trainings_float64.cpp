#include "trainings.hpp"

namespace shoal {

template SHOAL_TRAINING(double, DescentMethod<double>);
template SHOAL_TRAINING(double, FlowMethod);

}  // namespace shoal
