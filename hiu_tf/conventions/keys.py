"""Every dictionary key of the project, in one place.

Shapes: B batch, S picture side (256 for the published network), V vertices of the hand model.
Units: metres, radians, pixels of the S x S crop unless the name says otherwise.
"""

# --- input and raw outputs of the network ------------------------------------------------------
IMAGE = "image"  # [B, S, S, 3] float32 in [0, 1], RGB
BACKGROUND = "background"  # [B, S, S, 3], a picture without a hand, to be seen behind the hand (augment.backgrounds)
HEATMAPS = "heatmaps"  # [B, S/2, S/2, 21] float32, peak 1
MASK_LOGITS = "mask_logits"  # [B, S, S, 1]
POF = "pof"  # [B, S/2, S/2, 60] float32, 20 bones x (x, y, z)
SHAPE = "shape"  # beta [B, 10]
POSE = "pose"  # theta [B, 15, 3], axis-angle per joint
ROTATION = "rotation"  # R [B, 3], axis-angle, hand frame -> camera frame
TRANSLATION = "translation"  # T [B, 3], metres, camera frame of the crop
RIGHT_LOGIT = "right_logit"  # [B, 1]


# --- predictions, computed from the raw outputs ------------------------------------------------
MASK = "mask"  # predictions: [B, S, S] probability in [0, 1]; labels: [B, S, S, 1]
RENDERED_MASK = "rendered_mask"  # [B, S, S] in [0, 1], the silhouette of the mesh
CROP_SIDE = "crop_side"  # S
VERTICES = "vertices"  # [B, V, 3], camera frame of the crop
JOINTS_3D = "joints_3d"  # [B, 21, 3], camera frame of the crop
JOINTS_2D = "joints_2d"  # [B, 21, 2], crop pixels, from the heat maps (Equation 1)
JOINTS_2D_PROJECTED = "joints_2d_projected"  # [B, 21, 2], crop pixels, projected 3D joints
SCORES = "joint_scores"  # [B, 21], peak of each heat map
BONE_TRANSFORMS = "bone_transforms"  # [B, 16, 4, 4], frame of each model joint in the camera frame
RIGHT = "right"  # predictions: [B] probability that the crop shows a right hand; labels: [B, 1] (in crops [B]), 0 for a left one
NORMALS = "normals"  # [B, V, 3], unit, outwards

# --- labels and their weights (0 = this sample does not have the label) ------------------------
JOINTS_2D_WEIGHT = "joints_2d_weight"  # [B, 21]
JOINTS_3D_WEIGHT = "joints_3d_weight"  # [B, 21]
HEATMAPS_WEIGHT = "heatmaps_weight"  # [B, 21]
POF_WEIGHT = "pof_weight"  # [B, 60]
POF_ONLY_FLAT = "pof_only_flat"  # [B, 20], 1 where a bone has 2D labels alone; encoding "xiang" only
MASK_WEIGHT = "mask_weight"  # [B]
IN_PICTURE = "in_picture"  # [B, S, S, 1], 0 where a crop shows what lies beyond its picture: nothing is known there; missing: it shows none
RIGHT_WEIGHT = "right_weight"  # [B]
SSL_WEIGHT = "ssl_weight"  # [B]
WHOLE = "whole"  # [B], 0 without a hand, for a left one, and for one that the augmentation cuts off
COUNTED = "counted"  # [B], 0 for a dummy sample that fills a replica's empty batch; missing: all count
HAS_MESH = "has_mesh"  # [B]
NO_HAND = "no_hand"  # [B], 1 for pictures without a hand
EMPTY_HEATMAPS = "empty_heatmaps"  # [B], weight of the heat maps of a picture without a hand: all are empty
EMPTY_MASK = "empty_mask"  # [B], weight of its mask, which is empty
HAS_PARAMETERS = "has_parameters"  # [B], weight of shape, pose and rotation

# --- the rest of a record ----------------------------------------------------------------------
INTRINSICS = "intrinsics"  # K [B, 3, 3], pixels
JOINTS_OUTSIDE = "joints_outside"  # [B], how many labelled 2D joints an evaluation's crop leaves out
VISIBLE = "visible"  # [B, 21], 0 where the set labels a joint as hidden
BOX = "box"  # [B, 4], x, y, width, height in pixels where the set gives a box of the hand, else 0
PICTURE_SIZE = "size"  # [B, 2], height and width of the stored picture
SIDE = "side"  # 0 right, 1 left, -1 unknown
DATASET = "dataset"  # name of the set that the sample is from
SAMPLE_ID = "sample_id"  # unique within its set
GROUP = "group"  # samples of one group are always in the same fold
SET_NUMBER = "set_number"  # [B] int32, index of the sample's set in the recipe
SEED = "seed"  # [B, 2] int64, of the batch's colours: the same in every row
SAMPLE_NAME = "sample_name"  # [B, 96] uint8, the first bytes of sample_id: strings cannot be copied to every device
