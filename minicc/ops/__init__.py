"""The operators. Importing this registers them all; each family has a file.

>>> from minicc.ops import Relu
>>> import numpy as np
>>> Relu()(np.array([-1.0, 2.0]))
array([0., 2.])
"""

from minicc.ops.activation import Celu as Celu
from minicc.ops.activation import Clip as Clip
from minicc.ops.activation import Elu as Elu
from minicc.ops.activation import Gelu as Gelu
from minicc.ops.activation import HardSigmoid as HardSigmoid
from minicc.ops.activation import HardSwish as HardSwish
from minicc.ops.activation import LeakyRelu as LeakyRelu
from minicc.ops.activation import Mish as Mish
from minicc.ops.activation import PRelu as PRelu
from minicc.ops.activation import Relu as Relu
from minicc.ops.activation import Selu as Selu
from minicc.ops.activation import Shrink as Shrink
from minicc.ops.activation import Sigmoid as Sigmoid
from minicc.ops.activation import Softplus as Softplus
from minicc.ops.activation import Softsign as Softsign
from minicc.ops.activation import ThresholdedRelu as ThresholdedRelu
from minicc.ops.arithmetic import Add as Add
from minicc.ops.arithmetic import BitShift as BitShift
from minicc.ops.arithmetic import BitwiseAnd as BitwiseAnd
from minicc.ops.arithmetic import BitwiseOr as BitwiseOr
from minicc.ops.arithmetic import BitwiseXor as BitwiseXor
from minicc.ops.arithmetic import Div as Div
from minicc.ops.arithmetic import Max as Max
from minicc.ops.arithmetic import Min as Min
from minicc.ops.arithmetic import Mod as Mod
from minicc.ops.arithmetic import Mul as Mul
from minicc.ops.arithmetic import Pow as Pow
from minicc.ops.arithmetic import Sub as Sub
from minicc.ops.cast import Cast as Cast
from minicc.ops.cast import CastLike as CastLike
from minicc.ops.comparison import And as And
from minicc.ops.comparison import Equal as Equal
from minicc.ops.comparison import Greater as Greater
from minicc.ops.comparison import GreaterOrEqual as GreaterOrEqual
from minicc.ops.comparison import IsInf as IsInf
from minicc.ops.comparison import IsNaN as IsNaN
from minicc.ops.comparison import Less as Less
from minicc.ops.comparison import LessOrEqual as LessOrEqual
from minicc.ops.comparison import Not as Not
from minicc.ops.comparison import Or as Or
from minicc.ops.comparison import Where as Where
from minicc.ops.comparison import Xor as Xor
from minicc.ops.elementwise import Abs as Abs
from minicc.ops.elementwise import Acos as Acos
from minicc.ops.elementwise import Acosh as Acosh
from minicc.ops.elementwise import Asin as Asin
from minicc.ops.elementwise import Asinh as Asinh
from minicc.ops.elementwise import Atan as Atan
from minicc.ops.elementwise import Atanh as Atanh
from minicc.ops.elementwise import BitwiseNot as BitwiseNot
from minicc.ops.elementwise import Ceil as Ceil
from minicc.ops.elementwise import Cos as Cos
from minicc.ops.elementwise import Cosh as Cosh
from minicc.ops.elementwise import Erf as Erf
from minicc.ops.elementwise import Exp as Exp
from minicc.ops.elementwise import Floor as Floor
from minicc.ops.elementwise import Identity as Identity
from minicc.ops.elementwise import Log as Log
from minicc.ops.elementwise import Neg as Neg
from minicc.ops.elementwise import Reciprocal as Reciprocal
from minicc.ops.elementwise import Round as Round
from minicc.ops.elementwise import Sign as Sign
from minicc.ops.elementwise import Sin as Sin
from minicc.ops.elementwise import Sinh as Sinh
from minicc.ops.elementwise import Sqrt as Sqrt
from minicc.ops.elementwise import Tan as Tan
from minicc.ops.elementwise import Tanh as Tanh
