from minicc.ops.activation import Celu as Celu, Clip as Clip, Elu as Elu, Gelu as Gelu, HardSigmoid as HardSigmoid
from minicc.ops.activation import HardSwish as HardSwish, LeakyRelu as LeakyRelu, Mish as Mish, PRelu as PRelu
from minicc.ops.activation import Relu as Relu, Selu as Selu, Shrink as Shrink, Sigmoid as Sigmoid, Softplus as Softplus
from minicc.ops.activation import Softsign as Softsign, ThresholdedRelu as ThresholdedRelu
from minicc.ops.argreduce import ArgMax as ArgMax, ArgMin as ArgMin
from minicc.ops.arithmetic import Add as Add, BitShift as BitShift, BitwiseAnd as BitwiseAnd, BitwiseOr as BitwiseOr
from minicc.ops.arithmetic import BitwiseXor as BitwiseXor, Div as Div, Max as Max, Min as Min, Mod as Mod, Mul as Mul
from minicc.ops.arithmetic import Pow as Pow, Sub as Sub
from minicc.ops.attention import ScaledAttention as ScaledAttention
from minicc.ops.cast import Cast as Cast, CastLike as CastLike
from minicc.ops.comparison import And as And, Equal as Equal, Greater as Greater, GreaterOrEqual as GreaterOrEqual
from minicc.ops.comparison import IsInf as IsInf, IsNaN as IsNaN, Less as Less, LessOrEqual as LessOrEqual, Not as Not
from minicc.ops.comparison import Or as Or, Where as Where, Xor as Xor
from minicc.ops.conv import Conv as Conv, ConvTranspose as ConvTranspose
from minicc.ops.cumulative import CumProd as CumProd, CumSum as CumSum
from minicc.ops.depthwise import DepthwiseConv as DepthwiseConv, DepthwiseConvInteger as DepthwiseConvInteger
from minicc.ops.determinant import Det as Det
from minicc.ops.einsum import Einsum as Einsum
from minicc.ops.elementwise import Abs as Abs, Acos as Acos, Acosh as Acosh, Asin as Asin, Asinh as Asinh, Atan as Atan
from minicc.ops.elementwise import Atanh as Atanh, BitwiseNot as BitwiseNot, Ceil as Ceil, Cos as Cos, Cosh as Cosh
from minicc.ops.elementwise import Erf as Erf, Exp as Exp, Floor as Floor, Identity as Identity, Log as Log, Neg as Neg
from minicc.ops.elementwise import Reciprocal as Reciprocal, Round as Round, Sign as Sign, Sin as Sin, Sinh as Sinh
from minicc.ops.elementwise import Sqrt as Sqrt, Tan as Tan, Tanh as Tanh
from minicc.ops.generate import ConstantOfShape as ConstantOfShape, Range as Range
from minicc.ops.indexing import Gather as Gather, GatherElements as GatherElements, GatherND as GatherND
from minicc.ops.indexing import OneHot as OneHot, ReverseSequence as ReverseSequence, ScatterElements as ScatterElements
from minicc.ops.indexing import ScatterND as ScatterND
from minicc.ops.integer import ConvInteger as ConvInteger, MatMulInteger as MatMulInteger
from minicc.ops.matmul import Gemm as Gemm, MatMul as MatMul
from minicc.ops.movement import Concat as Concat, DepthToSpace as DepthToSpace, Slice as Slice
from minicc.ops.movement import SpaceToDepth as SpaceToDepth, Split as Split, Tile as Tile, Transpose as Transpose
from minicc.ops.movement import Trilu as Trilu
from minicc.ops.non_max_suppression import NonMaxSuppression as NonMaxSuppression
from minicc.ops.normalization import BatchNormalization as BatchNormalization, GroupNormalization as GroupNormalization
from minicc.ops.normalization import InstanceNormalization as InstanceNormalization, LRN as LRN
from minicc.ops.normalization import LayerNormalization as LayerNormalization, LpNormalization as LpNormalization
from minicc.ops.normalization import MeanVarianceNormalization as MeanVarianceNormalization
from minicc.ops.normalization import RMSNormalization as RMSNormalization
from minicc.ops.packed import MatMulTransposed as MatMulTransposed, PackedConv as PackedConv
from minicc.ops.packed import PackedMatMul as PackedMatMul
from minicc.ops.padding import Pad as Pad
from minicc.ops.placement import AffineGrid as AffineGrid, CenterCropPad as CenterCropPad, Col2Im as Col2Im
from minicc.ops.placement import MaxUnpool as MaxUnpool, TensorScatter as TensorScatter
from minicc.ops.pool import AveragePool as AveragePool, GlobalAveragePool as GlobalAveragePool
from minicc.ops.pool import GlobalMaxPool as GlobalMaxPool, LpPool as LpPool, MaxPool as MaxPool
from minicc.ops.pool import MaxPoolIndices as MaxPoolIndices
from minicc.ops.quantize import DequantizeLinear as DequantizeLinear, Quantize as Quantize
from minicc.ops.quantize import QuantizeLinear as QuantizeLinear
from minicc.ops.recurrent import GRU as GRU, LSTM as LSTM, RNN as RNN
from minicc.ops.reduction import ReduceL1 as ReduceL1, ReduceL2 as ReduceL2, ReduceLogSum as ReduceLogSum
from minicc.ops.reduction import ReduceLogSumExp as ReduceLogSumExp, ReduceMax as ReduceMax, ReduceMean as ReduceMean
from minicc.ops.reduction import ReduceMin as ReduceMin, ReduceProd as ReduceProd, ReduceSum as ReduceSum
from minicc.ops.reduction import ReduceSumSquare as ReduceSumSquare
from minicc.ops.resize import Resize as Resize
from minicc.ops.sampling import DeformConv as DeformConv, GridSample as GridSample, RoiAlign as RoiAlign
from minicc.ops.selection import Compress as Compress, NonZero as NonZero, Unique as Unique
from minicc.ops.sequence import Absent as Absent, ConcatFromSequence as ConcatFromSequence
from minicc.ops.sequence import OptionalHasElement as OptionalHasElement, SequenceAt as SequenceAt
from minicc.ops.sequence import SequenceConstruct as SequenceConstruct, SequenceErase as SequenceErase
from minicc.ops.sequence import SequenceInsert as SequenceInsert, SequenceLength as SequenceLength
from minicc.ops.sequence import SplitToSequence as SplitToSequence
from minicc.ops.shape import Expand as Expand, Flatten as Flatten, Reshape as Reshape, Shape as Shape, Size as Size
from minicc.ops.shape import Squeeze as Squeeze, Unsqueeze as Unsqueeze
from minicc.ops.signal import DFT as DFT, STFT as STFT
from minicc.ops.softmax import Hardmax as Hardmax, LogSoftmax as LogSoftmax, Softmax as Softmax
from minicc.ops.sorting import TopK as TopK, TopKIndices as TopKIndices
from minicc.ops.transformer import Attention as Attention, RotaryEmbedding as RotaryEmbedding
from minicc.ops.winograd import WinogradConv as WinogradConv, WinogradWeights as WinogradWeights
from minicc.ops.words import AsWords as AsWords, PackedConvInteger as PackedConvInteger
from minicc.ops.words import PackedMatMulInteger as PackedMatMulInteger, PadToWords as PadToWords
