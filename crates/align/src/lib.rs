//! Face detection, similarity warp, blending back
