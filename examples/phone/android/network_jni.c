/* The functions of Mnist.java: one call of the exported network in network/. */
#include <jni.h>

#include "mnist.h"

/* Returns the probabilities of an image of MNIST_INPUT_SIZE bytes; null, with an exception, if the
   array has another length. Threads of Java have less stack than a large network needs, but more
   than MNIST_WORKSPACE_BYTES of this one. */
JNIEXPORT jfloatArray JNICALL Java_org_example_digits_Mnist_predict(JNIEnv *env, jclass type,
                                                                   jbyteArray pixels) {
  jbyte image[MNIST_INPUT_SIZE];
  float probabilities[MNIST_OUTPUT_SIZE];
  (void)type;
  if ((*env)->GetArrayLength(env, pixels) != MNIST_INPUT_SIZE) {
    jclass error = (*env)->FindClass(env, "java/lang/IllegalArgumentException");
    (*env)->ThrowNew(env, error, "expected 28 x 28 pixels");
    return NULL;
  }
  (*env)->GetByteArrayRegion(env, pixels, 0, MNIST_INPUT_SIZE, image);
  mnist_predict((const uint8_t *)image, probabilities, 0, 0);
  jfloatArray result = (*env)->NewFloatArray(env, MNIST_OUTPUT_SIZE);
  if (result) (*env)->SetFloatArrayRegion(env, result, 0, MNIST_OUTPUT_SIZE, probabilities);
  return result;
}
