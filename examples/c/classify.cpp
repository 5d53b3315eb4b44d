// The same as classify.c in C++17, in two threads, each with memory of its own.
//
// ./classify_cpp digit.pgm ...
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "mnist.h"

namespace {

using Image = std::array<std::uint8_t, MNIST_INPUT_SIZE>;
using Probabilities = std::array<float, MNIST_OUTPUT_SIZE>;

Image read_pgm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int width = 0, height = 0, largest = 0;
  Image pixels;
  file >> magic >> width >> height >> largest;
  file.get();
  if (magic != "P5" || width != 28 || height != 28 || largest != 255 ||
      !file.read(reinterpret_cast<char*>(pixels.data()), pixels.size()))
    throw std::runtime_error(path + ": expected a binary PGM image of 28 x 28 pixels");
  return pixels;
}

// Some threads have a small stack, so the workspace is on the heap. It can be used again for the
// next image, but not by two threads at once.
class Network {
 public:
  Probabilities predict(const Image& image) {
    Probabilities result;
    mnist_predict_in(workspace_.data(), image.data(), result.data(), 0, 0, 0);
    return result;
  }

 private:
  std::vector<std::uint64_t> workspace_ = std::vector<std::uint64_t>(MNIST_WORKSPACE_BYTES / 8 + 1);
};

std::vector<Probabilities> predict_each(const std::vector<Image>& images, std::size_t first,
                                        std::size_t step) {
  Network network;
  std::vector<Probabilities> found;
  for (std::size_t i = first; i < images.size(); i += step)
    found.push_back(network.predict(images[i]));
  return found;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> paths(argv + 1, argv + argc);
  std::vector<Image> images;
  for (const auto& path : paths) images.push_back(read_pgm(path));
  auto odd = std::async(std::launch::async, predict_each, std::cref(images), 1, 2);
  const auto even = predict_each(images, 0, 2);
  const auto others = odd.get();
  for (std::size_t i = 0; i < paths.size(); i++) {
    const auto& probabilities = (i % 2 ? others : even)[i / 2];
    const auto best = std::max_element(probabilities.begin(), probabilities.end());
    std::printf("%s %td %.9g\n", paths[i].c_str(), best - probabilities.begin(), *best);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
