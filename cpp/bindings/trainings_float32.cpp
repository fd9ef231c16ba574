#include "trainings.hpp"

namespace shoal {

template SHOAL_TRAINING(float, DescentMethod<float>);

}  // namespace shoal
