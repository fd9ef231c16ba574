#include "trainings/trainings.hpp"

namespace shoal {

template SHOAL_TRAINING(float, DescentMethod<float>);
template SHOAL_REDUCED(float, DescentMethod<float>);

}  // namespace shoal
