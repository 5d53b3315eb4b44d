package org.example.digits;

/** A network in C, of bnnkit's zoo, that names handwritten digits. */
public final class Mnist {
    static {
        System.loadLibrary("digits");
    }

    private Mnist() {}

    /**
     * Returns the probabilities of the digits 0 to 9.
     *
     * @param pixels 28 x 28 bytes, row by row, white (-1, that is 255) on black (0)
     */
    public static native float[] predict(byte[] pixels);
}
